//go:build race

package simnet

// raceEnabled: the race detector also makes the scheduler choose at random.
const raceEnabled = true
