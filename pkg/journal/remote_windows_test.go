package journal

import "testing"

func TestNetworkShares(t *testing.T) {
	for path, want := range map[string]bool{
		`\\server\share\multiput`: true, `//server/share/multiput`: true, `\\?\UNC\server\share\x`: true,
		`C:\Users\me`: false, `\\?\C:\Users\me`: false, `c:/x`: false,
	} {
		if got := remote(path); (got != "") != want {
			t.Errorf("%s is %q", path, got)
		}
	}
}
