package source

import (
	"context"
	"crypto/md5" // the digest that stores answer with
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// ErrSpool says that the data exceeds the limit of the spool.
var ErrSpool = errors.New("exceeds the limit of the spool")

// SpoolError is a spool that cannot be written.
type SpoolError struct {
	Dir string
	Err error
}

func (e *SpoolError) Error() string {
	why := e.Err
	var p *fs.PathError
	if errors.As(why, &p) {
		why = p.Err
	}
	return fmt.Sprintf("the spool %s cannot be written: %v", e.Dir, why)
}
func (e *SpoolError) Unwrap() error { return e.Err }

// SpoolDir is the directory that cannot be written.
func (e *SpoolError) SpoolDir() string { return e.Dir }

// Spool is where a stream waits until its parts are stored. Its files have no
// name where the system allows that, so that a process which is killed leaves
// nothing behind.
type Spool struct {
	Dir   string // created if missing, for the user alone
	Limit int64  // the most bytes that wait at a time

	SHA256 bool // compute that of all that comes, see File.SHA256
}

// spooled is how the directory of what is spooled is called, and a number.
const spooled = "stream-"

// pieceSize is how much of a stream is in one file. What of it is stored is
// deleted file by file.
const pieceSize = 64 << 20

// stream is a file that is still coming in, once: from a pipe. It is kept on
// the disk until its reader releases it.
type stream struct {
	in    io.Reader
	spool Spool
	dir   string

	mu     sync.Mutex
	news   chan struct{} // closed, and replaced, when any of what follows changes
	size   int64         // what it is said to have; <0: not known yet
	have   int64         // bytes that came
	gone   int64         // of those, let go
	pieces map[int64]*piece
	ended  bool // nothing more comes
	err    error
	sum    hash.Hash // MD5 of all that came
	sha    hash.Hash // SHA-256 of it; nil if it was not asked for
}

type piece struct {
	f    *os.File
	left int64 // bytes that were not let go
}

// inPlace makes a File of the rest of a regular file that is open at some place,
// as a shell does it; nil if it has to be spooled: it is none, its place in the
// world cannot be told, or it lies about its size.
func inPlace(r io.Reader) *File {
	f, ok := r.(*os.File)
	if !ok {
		return nil
	}
	fi, err := f.Stat()
	if err != nil || !fi.Mode().IsRegular() {
		return nil
	}
	begin, err := f.Seek(0, io.SeekCurrent)
	at := place(f)
	if err != nil || at == "" || begin > fi.Size() || pastEnd(f, "", fi.Size()) != nil {
		return nil
	}
	if n, _ := f.ReadAt(make([]byte, 1), max(begin, fi.Size()-1)); n == 0 && begin < fi.Size() {
		return nil // it has less than it says
	}
	i := info(fi)
	i.Size -= begin
	return &File{Path: streamPath(fmt.Sprintf("%s:%d", at, begin)), Info: i, f: f, fi: fi, begin: begin}
}

// streamPath is what standard input is found again by: an absolute path that no
// file has.
func streamPath(name string) string {
	path := filepath.Join(string(filepath.Separator), "-", name)
	if abs, err := filepath.Abs(path); err == nil { // on Windows, with a volume
		return abs
	}
	return path
}

// Streamed reports whether a File's Path is that of standard input.
func (Spool) Streamed(path string) bool {
	return strings.HasPrefix(filepath.ToSlash(strings.TrimPrefix(path, filepath.VolumeName(path))), "/-/")
}

// Gone reports whether a File's Path is that of standard input that was spooled: it
// can be read once only.
func (s Spool) Gone(path string) bool {
	return s.Streamed(path) && strings.HasPrefix(filepath.Base(path), spooled)
}

// Needed reports whether what r gives has to be spooled. A regular file that a
// shell opened is read where it is.
func (Spool) Needed(r io.Reader) bool { return inPlace(r) == nil }

// Stream makes a File of what r gives. A regular file is read in place, from
// where it stands, and can be found again. Of all else a size below zero is one
// that is found out by reading to the end first, which has to fit into the spool; otherwise
// r must give exactly size bytes, and sections can be read as they come: ask
// Ready before. What is read and not needed again is to be let go with Release,
// or r is not read on. The file has the type and name that its user gives it.
func Stream(ctx context.Context, r io.Reader, size int64, s Spool) (*File, error) {
	if f := inPlace(r); f != nil {
		switch {
		case size >= 0 && size < f.Info.Size:
			return nil, fmt.Errorf("standard input: %w: expected %d bytes, and there are more", ErrChanged, size)
		case size > f.Info.Size:
			return nil, fmt.Errorf("standard input: %w: expected %d bytes, and it ended after %d", ErrChanged, size, f.Info.Size)
		}
		return f, nil
	}
	err := os.MkdirAll(s.Dir, 0o700)
	var dir string
	if err == nil {
		dir, err = os.MkdirTemp(s.Dir, spooled)
	}
	if err != nil {
		return nil, &SpoolError{s.Dir, err}
	}
	st := &stream{in: r, spool: s, dir: dir, size: size, news: make(chan struct{}), pieces: make(map[int64]*piece), sum: md5.New()}
	if s.SHA256 {
		st.sha = sha256.New()
	}
	f := &File{Path: streamPath(filepath.Base(dir)), Info: Info{Size: size, ModTime: time.Now().Round(0)}, s: st}
	go st.take()
	if size >= 0 {
		return f, nil
	}
	if err := st.await(ctx, func() bool { return st.ended }); err != nil {
		f.Close()
		return nil, err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.size, f.Info.Size = st.have, st.have
	return f, nil
}

// changed tells all who wait. s.mu is held.
func (s *stream) changed() {
	close(s.news)
	s.news = make(chan struct{})
}

// await waits until ok, which is asked with s.mu held.
func (s *stream) await(ctx context.Context, ok func() bool) error {
	for {
		s.mu.Lock()
		done, err, news := ok(), s.err, s.news
		s.mu.Unlock()
		switch {
		case err != nil:
			return err
		case done:
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// take reads the stream to its end.
func (s *stream) take() {
	buf := make([]byte, 1<<20)
	for {
		room, err := s.room()
		if err != nil {
			s.end(err)
			return
		}
		n, err := io.ReadAtLeast(s.in, buf[:min(int64(len(buf)), room)], 1)
		if n > 0 {
			if err := s.keep(buf[:n]); err != nil {
				s.end(err)
				return
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			s.end(nil)
			return
		case err != nil:
			s.end(fmt.Errorf("read standard input at byte %d: %w: %w", s.have, ErrNoInput, err))
			return
		}
	}
}

// room waits until there is some, and says how much. It is more than none for a
// stream that should have ended: whether it has, only reading it tells.
func (s *stream) room() (int64, error) {
	for {
		s.mu.Lock()
		room, news := s.spool.Limit-(s.have-s.gone), s.news
		err, size, have := s.err, s.size, s.have
		s.mu.Unlock()
		switch {
		case err != nil:
			return 0, err
		case size >= 0 && have >= size:
			return 1, nil
		case room > 0:
			return room, nil
		case size < 0:
			return 1, nil
		}
		<-news
	}
}

// keep puts what came on the disk.
func (s *stream) keep(b []byte) error {
	s.mu.Lock()
	at, size := s.have, s.size
	s.mu.Unlock()
	switch {
	case size >= 0 && at+int64(len(b)) > size:
		return fmt.Errorf("standard input: %w: expected %d bytes, and there are more", ErrChanged, size)
	case size < 0 && at+int64(len(b)) > s.spool.Limit:
		return fmt.Errorf("standard input %w: it has more than %d bytes", ErrSpool, s.spool.Limit)
	}
	s.sum.Write(b)
	if s.sha != nil {
		s.sha.Write(b)
	}
	for len(b) > 0 {
		n := min(int64(len(b)), pieceSize-at%pieceSize)
		p, err := s.piece(at / pieceSize)
		if err == nil {
			_, err = p.f.WriteAt(b[:n], at%pieceSize)
		}
		if err != nil {
			return &SpoolError{s.spool.Dir, err}
		}
		at += n
		b = b[n:]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.have = at
	s.changed()
	return nil
}

// piece is the file with the given number, made if there is none.
func (s *stream) piece(i int64) (*piece, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.pieces[i]; p != nil {
		return p, nil
	}
	f, err := os.OpenFile(filepath.Join(s.dir, fmt.Sprint(i)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	_ = os.Remove(f.Name()) // not on Windows, where drop does it
	p := &piece{f: f, left: pieceSize}
	s.pieces[i] = p
	return p, nil
}

func (s *stream) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && s.size >= 0 && s.have < s.size {
		err = fmt.Errorf("standard input: %w: expected %d bytes, and it ended after %d", ErrChanged, s.size, s.have)
	}
	s.ended = true
	if s.err == nil {
		s.err = err
	}
	s.changed()
}

// ReadAt reads what is there and was not let go.
func (s *stream) ReadAt(b []byte, off int64) (int, error) {
	n := 0
	for n < len(b) {
		s.mu.Lock()
		p, have := s.pieces[off/pieceSize], s.have
		s.mu.Unlock()
		if off >= have {
			return n, io.EOF
		}
		if p == nil {
			return n, errors.New("its data was released already")
		}
		most := min(int64(len(b)-n), pieceSize-off%pieceSize, have-off)
		m, err := p.f.ReadAt(b[n:n+int(most)], off%pieceSize)
		n += m
		off += int64(m)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// release lets bytes go.
func (s *stream) release(off, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone += size
	for size > 0 {
		i := off / pieceSize
		n := min(size, pieceSize-off%pieceSize)
		if p := s.pieces[i]; p != nil {
			if p.left -= n; p.left == 0 {
				s.drop(i)
			}
		}
		off += n
		size -= n
	}
	s.changed()
}

// drop deletes a file. s.mu is held.
func (s *stream) drop(i int64) {
	p := s.pieces[i]
	delete(s.pieces, i)
	p.f.Close()
	_ = os.Remove(p.f.Name())
}

// close deletes all of it. What still waits is told; a read that waits
// for a pipe ends with it or with the process.
func (s *stream) close() error {
	s.end(errors.New("standard input was closed"))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range slices.Collect(maps.Keys(s.pieces)) {
		s.drop(i)
	}
	return os.RemoveAll(s.dir)
}

// failed is what went wrong so far.
func (s *stream) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// whole is the MD5 of all of it, which was computed as it came.
func (s *stream) whole() (Digest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return Digest{}, s.err
	}
	return Digest{MD5: s.sum.Sum(nil)}, nil
}

// SHA256 is that of all of a stream, which was computed as it came; nil where it
// was not asked for, or this is no stream.
func (f *File) SHA256() []byte {
	if f.s == nil || f.s.sha == nil {
		return nil
	}
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	return f.s.sha.Sum(nil)
}

// Ready waits until the first end bytes can be read. For all of a stream that is
// also until it has ended as it should.
func (f *File) Ready(ctx context.Context, end int64) error {
	if f.s == nil {
		return nil
	}
	return f.s.await(ctx, func() bool { return f.s.have >= end && (end < f.s.size || f.s.ended) })
}

// Once reports whether it can be read once only: it comes from a pipe.
func (f *File) Once() bool { return f.s != nil }

// Release says that a run of bytes is not needed again.
func (f *File) Release(off, size int64) {
	if f.s != nil {
		f.s.release(off, size)
	}
}

// Room is the most bytes that can be read at a time before some are let go.
func (f *File) Room() int64 {
	if f.s == nil {
		return math.MaxInt64
	}
	return f.s.spool.Limit
}
