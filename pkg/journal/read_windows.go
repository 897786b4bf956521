package journal

import (
	"io"
	"os"
	"time"
)

// readSmall reads a file, and says when it was written.
func readSmall(path string) (b []byte, modified time.Time, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err == nil {
		b, modified = make([]byte, info.Size()), info.ModTime()
		_, err = io.ReadFull(f, b)
	}
	return b, modified, err
}
