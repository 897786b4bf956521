package sandbox

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// disk is a Store in a directory:
//
//	key                           signs URLs
//	store/ID/upload.json          the key of the object
//	store/ID/parts/NNNNN          a part, its ETag and size in a trailer
//	store/ID/blobs/NAME           the same, for what came through the API
//	store/ID/new/*                what is being received
//	store/ID/ended.json           what it came to; its parts are gone
//	objects/AREA/UPLOAD/NAME      the objects
//
// A file appears at once and whole, so that other processes may read at any
// moment, and what changes an upload holds its lock.
type disk struct {
	root    string
	now     func() time.Time
	minPart int64
	secret  []byte

	discard   bool
	discarded sync.Map // of discard: store id + part → int64
}

var (
	_ Store  = (*disk)(nil)
	_ Joiner = (*disk)(nil)
)

// storePrefix is where the store is served.
const storePrefix = "/store/"

// storedUpload is upload.json and ended.json.
type storedUpload struct {
	Key    string  `json:"key"`
	Asked  string  `json:"asked,omitempty"`
	Object *Object `json:"object,omitempty"`
}

func openDisk(root string, now func() time.Time, minPart int64, discard bool) (*disk, error) {
	d := &disk{root: root, now: now, minPart: minPart, discard: discard}
	if err := os.MkdirAll(filepath.Join(root, "store"), 0o700); err != nil {
		return nil, err
	}
	unlock, err := lock(root)
	if err != nil {
		return nil, err
	}
	defer unlock()
	path := filepath.Join(root, "key")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text = []byte(rand.Text() + rand.Text())
		if err = writeJSON(path, string(text)); err != nil {
			return nil, err
		}
		d.secret = text
		return d, nil
	}
	var s string
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err == nil && len(s) < 32 {
		err = fmt.Errorf("%s is not a signing key", path)
	}
	d.secret = []byte(s)
	return d, err
}

func (d *disk) dir(id string) string { return filepath.Join(d.root, "store", id) }

func (d *disk) path(key string) string {
	return filepath.Join(d.root, "objects", filepath.FromSlash(key))
}

func (d *disk) Create(_ context.Context, key string) (Ref, error) {
	if !fs.ValidPath(key) || strings.Count(key, "/") != 2 {
		return Ref{}, fmt.Errorf("%q is not a key", key)
	}
	r := Ref{Key: key, ID: newID("")}
	for _, sub := range []string{"parts", "blobs", "new"} {
		if err := os.MkdirAll(filepath.Join(d.dir(r.ID), sub), 0o700); err != nil {
			return Ref{}, err
		}
	}
	return r, writeJSON(filepath.Join(d.dir(r.ID), "upload.json"), storedUpload{Key: key})
}

// open looks an upload up. It is gone for good once it has ended.
func (d *disk) open(r Ref) (dir string, ended *storedUpload, err error) {
	if !goodID().MatchString(r.ID) {
		return "", nil, errNoSuchUpload()
	}
	dir = d.dir(r.ID)
	var u, e storedUpload
	switch err := readJSONFile(filepath.Join(dir, "ended.json"), &e); {
	case err == nil:
		return dir, &e, errNoSuchUpload()
	case !errors.Is(err, fs.ErrNotExist):
		return "", nil, err
	}
	if err := readJSONFile(filepath.Join(dir, "upload.json"), &u); err != nil || u.Key != r.Key {
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			err = errNoSuchUpload()
		}
		return "", nil, err
	}
	return dir, nil, nil
}

// The trailer of a part: its ETag, padded, and a mark.
const (
	trailerETag = 64
	trailerMark = "\x00multiput part 1"
	trailerSize = trailerETag + len(trailerMark)
)

// buffers are what parts are copied through.
var buffers = sync.Pool{New: func() any { b := make([]byte, 1<<20); return &b }}

// copyAll copies through a large buffer. (io.Copy would let an *os.File or
// io.Discard pick a small one.)
func copyAll(w io.Writer, r io.Reader) (int64, error) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, *buf)
}

// received is a part that came whole and is not yet stored.
type received struct {
	dir, file string
	etag      string
	size      int64
	md5       []byte
}

// receive takes bytes until the end of body. With opaque the ETag says nothing
// about them. What it returns must be committed or dropped.
func (d *disk) receive(r Ref, body io.Reader, opaque bool) (got *received, err error) {
	dir, _, err := d.open(r)
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Join(dir, "new"), "part-*")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoSuchUpload()
	}
	if err != nil {
		return nil, err
	}
	got = &received{dir: dir, file: f.Name()}
	h := md5.New()
	got.size, err = copyAll(io.MultiWriter(f, h), body)
	got.md5 = h.Sum(nil)
	got.etag = `"` + hex.EncodeToString(got.md5) + `"`
	if opaque {
		got.etag = `"` + newID("opaque-") + `"`
	}
	trailer := make([]byte, trailerETag, trailerSize)
	copy(trailer, got.etag)
	if _, e := f.Write(append(trailer, trailerMark...)); err == nil {
		err = e
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return got, err
}

func (got *received) drop() {
	if got != nil {
		_ = os.Remove(got.file) // it went with its upload, perhaps
	}
}

// commit makes a part what the store has under this name.
func (d *disk) commit(r Ref, got *received, name string) error {
	unlock, err := lock(got.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return errNoSuchUpload()
	}
	if err != nil {
		return err
	}
	defer unlock()
	if _, _, err := d.open(r); err != nil {
		return err
	}
	return os.Rename(got.file, filepath.Join(got.dir, name))
}

func partName(n int) string { return filepath.Join("parts", fmt.Sprintf("%05d", n)) }

// openStored opens what commit stored. The reader ends before the trailer.
func openStored(path string) (f *os.File, etag string, size int64, err error) {
	f, err = os.Open(path)
	if err != nil {
		return nil, "", 0, err
	}
	info, err := f.Stat()
	if err == nil {
		size = info.Size() - int64(trailerSize)
		t := make([]byte, trailerSize)
		if _, err = f.ReadAt(t, max(0, size)); err == nil && string(t[trailerETag:]) != trailerMark {
			err = fmt.Errorf("%s is not a part", path)
		}
		etag = string(bytes.TrimRight(t[:trailerETag], "\x00"))
	}
	if err != nil {
		_ = f.Close()
		return nil, "", 0, err
	}
	return f, etag, size, nil
}

func (d *disk) Parts(_ context.Context, r Ref, numbers []int) ([]Part, error) {
	dir, _, err := d.open(r)
	if err != nil {
		return nil, err
	}
	var list []Part
	for _, n := range numbers {
		if d.discard {
			if size, ok := d.discarded.Load(discardKey(r, n)); ok {
				list = append(list, Part{n, discardETag(n), size.(int64)})
			}
			continue
		}
		f, etag, size, err := openStored(filepath.Join(dir, partName(n)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		_ = f.Close()
		list = append(list, Part{n, etag, size})
	}
	return list, nil
}

func discardKey(r Ref, n int) string { return fmt.Sprintf("%s/%d", r.ID, n) }
func discardETag(n int) string       { return fmt.Sprintf(`"discarded-%d"`, n) }

func (d *disk) lock(r Ref) (func(), error) {
	if !goodID().MatchString(r.ID) {
		return nil, errNoSuchUpload()
	}
	unlock, err := lock(d.dir(r.ID))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoSuchUpload()
	}
	return unlock, err
}

func (d *disk) Abort(_ context.Context, r Ref) error {
	unlock, err := d.lock(r)
	if err != nil {
		return err
	}
	_, _, err = d.open(r)
	if err == nil {
		err = writeJSON(filepath.Join(d.dir(r.ID), "ended.json"), storedUpload{Key: r.Key})
	}
	unlock()
	if err != nil {
		return err
	}
	if err := os.RemoveAll(d.dir(r.ID)); err == nil {
		return nil
	}
	return os.RemoveAll(d.dir(r.ID)) // another process that looked for the lock may have been in the way
}

// objectURL is where an object would be, had the store a GET.
func objectURL(base, key string) string {
	return base + storePrefix + (&url.URL{Path: key}).EscapedPath()
}
