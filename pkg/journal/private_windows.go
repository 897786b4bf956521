package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// writable reports nothing: on Windows only a write shows it.
func writable(string) error { return nil }

// makePrivate makes a directory, and those above it, for their owner alone: it
// inherits from nothing above it, and what comes into it inherits from it.
func makePrivate(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	top := dir // the highest that is still to be made
	for up := filepath.Dir(top); up != top; up = filepath.Dir(up) {
		if _, err := os.Stat(up); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		top = up
		if filepath.Dir(up) == up {
			break
		}
	}
	if err := os.Mkdir(top, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	} else if err == nil {
		keepPrivate(top)
	}
	return os.MkdirAll(dir, 0o700)
}

// keepPrivate closes a file or a directory to everybody but this user, the
// system and the administrators, as everything in a user's profile is. A file
// system that has no access lists, such as FAT, stays as it is.
func keepPrivate(path string) {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return
	}
	sd, err := windows.SecurityDescriptorFromString(fmt.Sprintf("D:P(A;OICI;FA;;;%s)(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)", user.User.Sid))
	if err != nil {
		return
	}
	dacl, _, err := sd.DACL()
	if err != nil {
		return
	}
	_ = windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT,
		windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, dacl, nil)
}

// closeToOthers does nothing: a directory that was there has the access list that
// its owner gave it.
func closeToOthers(string, fs.FileInfo, func(string) bool) {}
