//go:build !windows

package journal

import (
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// writable reports what keeps this process from reading and writing a file or a
// directory.
func writable(path string) error {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.R_OK|unix.W_OK, unix.AT_EACCESS)
}

// makePrivate makes a directory, and those above it, for their owner alone.
func makePrivate(dir string) error { return os.MkdirAll(dir, 0o700) }

// keepPrivate closes a file to everybody but its owner. Where that is not ours
// to do, it fails without a word.
func keepPrivate(path string) { _ = os.Chmod(path, 0o600) }

// closeToOthers closes a directory that was there before to others, if it holds
// nothing but what is ours. Where that cannot be done, it stays as it is.
func closeToOthers(dir string, info fs.FileInfo, ours func(name string) bool) {
	if info.Mode().Perm()&0o077 == 0 {
		return
	}
	names, err := readNames(dir)
	if err == nil && !slices.ContainsFunc(names, func(name string) bool { return !ours(name) }) {
		_ = os.Chmod(dir, 0o700) //nolint:gosec // a directory
	}
}
