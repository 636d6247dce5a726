package quota

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"netcombiner/src/mono"
)

func TestMain(m *testing.M) {
	if file := os.Getenv("WRITE_UNTIL_KILLED"); file != "" { // the other process of TestKilledWhileWriting
		writeForever(file)
	}
	os.Exit(m.Run())
}

// writeForever counts one message on each of 64 paths and writes that, again
// and again.
func writeForever(file string) {
	b, err := Open(file, 1, []Plan{{Path: "path0", Limit: 1, Day: 1}})
	if err != nil && b.used() != 0 {
		fmt.Println(err)
		os.Exit(1)
	}
	for {
		for i := range 64 {
			b.Count(fmt.Sprintf("path%d", i), Traffic{TxPackets: 1, TxBytes: 100})
		}
		if err := b.Write(b.Text(1)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
}

// used is how many rounds were counted, all told alike.
func (b *Book) used() uint64 { u, _ := b.Use("path0"); return u.Used / 100 }

// kill -9 at any moment of a write leaves the file old or new: each count in it
// is of the same round, and none goes back.
func TestKilledWhileWriting(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nc0.quota")
	kills := 60
	if testing.Short() {
		kills = 10
	}
	last, moved := uint64(0), 0
	for range kills {
		writer := exec.Command(os.Args[0], "-test.run=^$")
		writer.Env = append(os.Environ(), "WRITE_UNTIL_KILLED="+file)
		writer.Stdout, writer.Stderr = os.Stdout, os.Stderr
		if err := writer.Start(); errors.Is(err, syscall.ENOEXEC) {
			t.Skip("the processor that is emulated starts nothing else")
		} else if err != nil {
			t.Fatal(err)
		}
		time.Sleep(30*time.Millisecond + rand.N(20*time.Millisecond))
		if err := writer.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = writer.Wait()
		b, err := Open(file, mono.Time(1), []Plan{{Path: "path0", Limit: 1, Day: 1}})
		if os.IsNotExist(err) || b.used() == 0 {
			continue // killed before its first write
		}
		if err != nil {
			t.Fatal(err)
		}
		rounds := b.used()
		if rounds < last {
			t.Fatalf("the file went back from round %d to %d", last, rounds)
		}
		if rounds > last {
			last, moved = rounds, moved+1
		}
		paths := b.Months()[0].Paths
		if len(paths) != 64 {
			t.Fatalf("%d paths of 64", len(paths))
		}
		for name, c := range paths {
			if c.TxPackets != rounds || c.TxBytes != 100*rounds {
				t.Fatalf("%s: %+v in round %d", name, c, rounds)
			}
		}
	}
	if moved < kills/2 {
		t.Errorf("only %d of %d writers wrote before they were killed", moved, kills)
	}
	t.Logf("%d rounds written by %d processes, each killed", last, kills)
}
