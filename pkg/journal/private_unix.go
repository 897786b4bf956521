//go:build !windows

package journal

import "os"

// makePrivate makes a directory, and those above it, for their owner alone.
func makePrivate(dir string) error { return os.MkdirAll(dir, 0o700) }

// keepPrivate closes a file to everybody but its owner. Where that is not ours
// to do, it fails without a word.
func keepPrivate(path string) { _ = os.Chmod(path, 0o600) }
