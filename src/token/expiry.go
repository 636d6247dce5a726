package token

import (
	"fmt"
	"time"
)

// skew is how far two hosts' clocks may differ when both are set.
const skew = 24 * time.Hour

// ClockUnset says that a host's clock cannot be right: routers without a battery
// boot in 1970, or on the day their firmware was built.
func ClockUnset(now time.Time) bool {
	return now.Before(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
}

// Check refuses a token that has expired. Where this host's clock is plainly wrong
// nobody can tell, and it says so instead: warning is for a person, or empty.
func (t *Token) Check(now time.Time) (warning string, err error) {
	switch {
	case t.Expires.IsZero():
		return "", nil
	case now.Before(t.Made.Add(-skew)):
		return fmt.Sprintf("this host's clock says %s, before the token was made: whether it has expired cannot be told",
			now.UTC().Format(time.DateOnly)), nil
	case now.After(t.Expires):
		const minute = "2006-01-02 15:04 MST"
		return "", fmt.Errorf("the token expired at %s, and by the clock of this host it is %s. If that is right run netcombiner init remote on the VPS again, which prints a new one and changes nothing else",
			t.Expires.UTC().Format(minute), now.UTC().Format(minute))
	}
	return "", nil
}
