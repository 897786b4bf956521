package journal

import (
	"slices"

	"golang.org/x/sys/unix"
)

// networks are the file systems of macOS that are on another machine.
var networks = []string{"nfs", "smbfs", "afpfs", "webdav", "ftp"}

func remote(path string) string {
	var s unix.Statfs_t
	if unix.Statfs(path, &s) != nil {
		return ""
	}
	if name := unix.ByteSliceToString(s.Fstypename[:]); slices.Contains(networks, name) {
		return name
	}
	return ""
}
