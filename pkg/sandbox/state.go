package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"github.com/multiput/multiput/pkg/internal/text"
)

// lock holds a directory against every other user of it, in this process and
// in others, until unlock. The kernel drops it with the process. The error is
// fs.ErrNotExist if there is no such directory.
func lock(dir string) (unlock func(), err error) {
	l := flock.New(filepath.Join(dir, "lock"), flock.SetPermissions(0o600))
	if err := l.Lock(); err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { _ = l.Close() }, nil
}

// writeJSON replaces a file in one step.
func writeJSON(path string, v any) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(toJSON(v))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

func readJSONFile(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// goodID is what an id must look like before it is part of a path.
var goodID = text.Pattern(`^[A-Za-z0-9_-]{1,100}$`)

// The states of an upload at an API.
const (
	statePending   = "pending"
	stateCompleted = "completed"
	stateAborted   = "aborted"
	stateCorrupt   = "corrupt"
)

// upload is what an API remembers of an upload, beside its parts.
type upload struct {
	ID    string `json:"id"`
	State string `json:"state"`
	Ref   Ref    `json:"ref"`
	Made  int64  `json:"made"`            // Unix milliseconds
	Ends  int64  `json:"ends,omitempty"`  // Unix seconds, of OpenAI's
	Other string `json:"other,omitempty"` // a second id

	Name     string          `json:"name"`
	Type     string          `json:"type"`
	Size     int64           `json:"size"`
	PartSize int64           `json:"part_size,omitempty"`
	Base     int             `json:"base,omitempty"` // what the first part is called
	Digest   string          `json:"digest,omitempty"`
	Given    json.RawMessage `json:"given,omitempty"` // what else create was given

	// Of a completed one: what was asked, what was answered, what it came to.
	Asked    string          `json:"asked,omitempty"`
	Answer   json.RawMessage `json:"answer,omitempty"`
	Object   *Object         `json:"object,omitempty"`
	Verified bool            `json:"verified,omitempty"` // a whole-file digest was given, and right
}

// parts is how many parts the plan has. An empty file is one empty part.
func (u *upload) parts() int {
	return int(max(1, (u.Size+u.PartSize-1)/u.PartSize))
}

// span is the range of the i-th part, counted from 0.
func (u *upload) span(i int) (offset, size int64) {
	offset = int64(i) * u.PartSize
	return offset, min(u.PartSize, u.Size-offset)
}

// maxParts is S3's limit.
const maxParts = 10_000

// partSize is the size of parts that keeps to maxParts.
func partSize(size, want int64) int64 {
	const mib = 1 << 20
	least := (size + maxParts - 1) / maxParts
	if least <= want {
		return want
	}
	return (least + mib - 1) / mib * mib
}

func (s *Server) dirOf(id string) string { return filepath.Join(s.Dir, "api", s.API, id) }

// errUnknown says that an API knows no such upload.
var errUnknown = errors.New("no such upload")

// load reads an upload without changing it.
func (s *Server) load(id string) (*upload, error) {
	if !goodID().MatchString(id) {
		return nil, errUnknown
	}
	u := &upload{}
	err := readJSONFile(filepath.Join(s.dirOf(id), "upload.json"), u)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errUnknown
	}
	return u, err
}

// hold reads an upload and keeps others from changing it until release.
func (s *Server) hold(id string) (u *upload, release func(), err error) {
	if !goodID().MatchString(id) {
		return nil, nil, errUnknown
	}
	release, err = lock(s.dirOf(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, errUnknown
	}
	if err != nil {
		return nil, nil, err
	}
	if u, err = s.load(id); err != nil {
		release()
		return nil, nil, err
	}
	return u, release, nil
}

func (s *Server) save(u *upload) error {
	dir := s.dirOf(u.ID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, "upload.json"), u)
}

// all reads every upload of this API.
func (s *Server) all() ([]*upload, error) {
	entries, err := os.ReadDir(filepath.Join(s.Dir, "api", s.API))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var list []*upload
	for _, e := range entries {
		u, err := s.load(e.Name())
		if errors.Is(err, errUnknown) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, u)
	}
	return list, nil
}

// Finished is an upload that was completed.
type Finished struct {
	Upload   string // the API's id
	Name     string // as the client called it
	Verified bool   // the client gave a digest of the whole file, and it was right
	Object
}

// Finished returns the completed uploads of this API, of all processes.
func (s *Server) Finished() ([]Finished, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	list, err := s.all()
	var out []Finished
	for _, u := range list {
		if u.State == stateCompleted && u.Object != nil {
			out = append(out, Finished{Upload: u.ID, Name: u.Name, Verified: u.Verified, Object: *u.Object})
		}
	}
	return out, err
}
