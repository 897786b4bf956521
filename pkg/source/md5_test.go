package source

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/cpu"
)

// MD5s of sections that are read at once are those of their bytes, whatever else is
// begun, ended or left meanwhile.
func TestMD5sAtOnce(t *testing.T) {
	const parts = 40
	content := make([]byte, parts*laneSize+12345)
	rand.NewChaCha8([32]byte{11}).Read(content) //nolint:errcheck // it never fails
	path := filepath.Join(t.TempDir(), "file.bin")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, atOnce := range []int{1, lanesLeast, 2*lanesEach + 3} {
		t.Run(fmt.Sprint(atOnce), func(t *testing.T) {
			var wg sync.WaitGroup
			todo := make(chan int, parts)
			for n := range parts {
				todo <- n
			}
			close(todo)
			for worker := range atOnce {
				wg.Go(func() {
					dice := rand.New(rand.NewPCG(11, uint64(worker)))
					for n := range todo {
						off, size := int64(n)*laneSize+dice.Int64N(500), laneSize+dice.Int64N(10_000)
						left := f.Section(off, size, true) // one whose connection breaks
						if _, err := io.CopyN(io.Discard, left, dice.Int64N(size)); err != nil {
							t.Error(err)
						}
						left.Close()
						s := f.Section(off, size, true)
						if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, s, make([]byte, 1+dice.IntN(300_000))); err != nil {
							t.Error(err)
						}
						d, complete := s.Digest()
						if want := md5.Sum(content[off : off+size]); !complete || !bytes.Equal(d.MD5, want[:]) {
							t.Errorf("part %d: MD5 %x (all read: %t), want %x", n, d.MD5, complete, want)
						}
						s.Close()
					}
				})
			}
			wg.Wait()
		})
	}
	if md5s.announced != 0 {
		t.Errorf("%d are still being computed", md5s.announced)
	}
	if cpu.X86.HasAVX2 != (len(md5s.groups) > 0) {
		t.Errorf("AVX2: %t, but %d groups", cpu.X86.HasAVX2, len(md5s.groups))
	}
}
