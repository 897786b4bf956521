package source

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/minio/crc64nvme" // with SIMD: hash/crc64 is slower than most disks
)

// Digest is what a run of bytes hashes to.
type Digest struct {
	CRC32C    uint32
	CRC64NVME uint64 // 0 if not asked for
	MD5       []byte // nil if not asked for
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Section reads one run of bytes once, hashing what it reads. It is for one
// goroutine at a time, and is to be closed.
type Section struct {
	file *File
	own  *os.File // nil: the file's
	off  int64
	left int64
	crc  uint32
	long bool   // whether the CRC-64/NVME is wanted
	nvme uint64 // it, so far
	size int64
	want bool     // whether the MD5 is wanted
	md5  md5State // nil: not wanted, or nothing is read yet
}

// Section gives the bytes [off, off+size). CRC32C is always computed, MD5 if
// wanted.
func (f *File) Section(off, size int64, wantMD5 bool) *Section {
	s := &Section{file: f, off: off, left: size, size: size, want: wantMD5}
	if f.s == nil && size < f.Info.Size {
		s.own = f.again()
	}
	if wantMD5 {
		md5s.announce(1)
	}
	return s
}

// WithCRC64NVME has the section compute that too. It is called before the first
// Read.
func (s *Section) WithCRC64NVME() *Section {
	s.long = true
	return s
}

// again opens the file once more. The system reads ahead for each handle, and
// several readers of one handle, each at a place of its own, look to it like one
// that jumps. Nil if that cannot be had: the shared handle does as well, slowly.
func (f *File) again() *os.File {
	if f.at == "" {
		return nil
	}
	own, err := os.Open(f.at)
	if err != nil {
		return nil
	}
	if fi, err := own.Stat(); err != nil || !os.SameFile(fi, f.fi) {
		own.Close() // it was replaced by another file: Same reports it
		return nil
	}
	return own
}

// WithoutMD5 has it not be computed any more.
func (s *Section) WithoutMD5() {
	if !s.want {
		return
	}
	s.want = false
	md5s.announce(-1)
	if s.md5 != nil {
		s.md5.giveBack()
		s.md5 = nil
	}
}

// Close releases the resources of the section.
func (s *Section) Close() error {
	s.WithoutMD5()
	if s.own == nil {
		return nil
	}
	return s.own.Close()
}

// Read reads on. A file that ends early is an error that wraps ErrChanged.
func (s *Section) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > s.left {
		p = p[:s.left]
	}
	if s.file.Absent() {
		return 0, s.file.notHere()
	}
	var at io.ReaderAt = s.own
	switch {
	case s.file.s != nil:
		at = s.file.s
	case s.own == nil:
		at = s.file.f
	}
	n, err := at.ReadAt(p, s.file.begin+s.off)
	s.crc = crc32.Update(s.crc, castagnoli, p[:n])
	if s.long {
		s.nvme = crc64nvme.Update(s.nvme, p[:n])
	}
	if s.want {
		s.sum().Write(p[:n]) //nolint:errcheck // a hash never fails
	}
	s.off += int64(n)
	s.left -= int64(n)
	switch {
	case s.left == 0 && s.off == s.file.Info.Size && s.file.s == nil:
		return n, s.pastEnd()
	case s.left == 0:
		return n, nil
	case err == io.EOF && s.file.steady():
		return n, &UnfitError{s.file.String(), fmt.Sprintf("the file system reports %d bytes, but it has %d", s.file.Info.Size, s.off), true}
	case err == io.EOF:
		return n, fmt.Errorf("%s: %w: it ends at byte %d", s.file, ErrChanged, s.off)
	case err != nil:
		return n, fmt.Errorf("read %s at byte %d: %w: %w", s.file, s.off, ErrNoInput, err)
	}
	return n, nil
}

// sum is the MD5 of what was read.
func (s *Section) sum() md5State {
	if s.md5 == nil {
		s.md5 = md5s.get(s.size)
	}
	return s.md5
}

// pastEnd makes certain that the file ends where its last part does.
func (s *Section) pastEnd() error {
	err := pastEnd(s.file.f, s.file.String(), s.file.begin+s.off)
	if errors.As(err, new(*UnfitError)) && !s.file.steady() {
		return fmt.Errorf("%s: %w: it had %d bytes and has more", s.file, ErrChanged, s.file.Info.Size)
	}
	return err
}

// steady reports whether the file still says what it said when it was opened.
func (f *File) steady() bool {
	if f.s != nil {
		return false
	}
	fi, err := f.f.Stat()
	return err == nil && fi.Size()-f.begin == f.Info.Size && fi.ModTime().Equal(f.Info.ModTime)
}

// Digest is that of the bytes read so far; complete is false while some are
// not.
func (s *Section) Digest() (d Digest, complete bool) {
	d.CRC32C, d.CRC64NVME = s.crc, s.nvme
	if s.want {
		d.MD5 = s.sum().Sum(nil)
	}
	return d, s.left == 0
}

// Hash reads the bytes [off, off+size) for their digest alone. It stops between
// reads when stop returns an error.
func (f *File) Hash(off, size int64, wantMD5, wantCRC64NVME bool, stop func() error) (Digest, error) {
	if f.s != nil && off == 0 && size == f.Info.Size && wantMD5 {
		return f.s.whole()
	}
	s := f.Section(off, size, wantMD5)
	s.long = wantCRC64NVME
	defer s.Close()
	buf := make([]byte, 256<<10)
	for s.left > 0 {
		if err := stop(); err != nil {
			return Digest{}, err
		}
		if _, err := s.Read(buf); err != nil {
			return Digest{}, err
		}
	}
	d, _ := s.Digest()
	return d, nil
}
