package journal

import (
	"os"
	"path/filepath"
)

// Remote names the kind of network file system that a journal at this path is
// or would be on, "nfs" for one; empty if it is on none, or if the system does
// not tell. There, whether a lock keeps others out and a sync is durable is up
// to the server and how it is mounted.
//
// What is behind FUSE is not told: it is as often a local disk, encrypted or of
// another system's format, as sshfs.
func Remote(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return ""
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	for {
		if _, err := os.Stat(path); err == nil {
			return remote(path)
		}
		up := filepath.Dir(path)
		if up == path {
			return remote(path)
		}
		path = up
	}
}
