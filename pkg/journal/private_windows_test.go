package journal

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/windows"
)

// What the journal makes is open to this user, the system and the
// administrators, whatever the directory above it is.
func TestPrivateACL(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	j := &Journal{Dir: dir}
	must(t, openEntry(t, j, "/data/a.bin").Begin(t.Context(), sample()))
	for path, protected := range map[string]bool{filepath.Dir(dir): true, dir: false} {
		sd, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION)
		must(t, err)
		control, _, err := sd.Control()
		must(t, err)
		if protected && control&windows.SE_DACL_PROTECTED == 0 {
			t.Errorf("%s inherits from above: %s", path, sd)
		}
		for _, everybody := range []string{";;;WD)", ";;;BU)", ";;;AU)"} {
			if strings.Contains(sd.String(), everybody) {
				t.Errorf("%s is open to others: %s", path, sd)
			}
		}
	}
}
