package sandbox

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

func (d *disk) Complete(ctx context.Context, r Ref, parts []Part, check Check) (Object, error) {
	if len(parts) == 0 {
		return Object{}, &StoreError{400, "MalformedXML", "You must specify at least one part"}
	}
	var names []string
	for i, p := range parts {
		if i > 0 && p.Number <= parts[i-1].Number {
			return Object{}, &StoreError{400, "InvalidPartOrder", "The list of parts was not in ascending order. The parts list must be specified in order by part number."}
		}
		names = append(names, partName(p.Number))
	}
	sizes := func(i int, etag string, size int64) error {
		p := parts[i]
		switch {
		case strings.Trim(p.ETag, `"`) != strings.Trim(etag, `"`):
			return invalidPart("part %d has another ETag", p.Number)
		case p.Size >= 0 && p.Size != size:
			return invalidPart("part %d has %d bytes and should have %d", p.Number, size, p.Size)
		case i < len(parts)-1 && size < d.minPart:
			return &StoreError{400, "EntityTooSmall", fmt.Sprintf("Your proposed upload is smaller than the minimum allowed size: part %d has %d bytes", p.Number, size)}
		}
		return nil
	}
	if d.discard {
		return d.forget(ctx, r, parts, sizes)
	}
	return d.assemble(r, names, fingerprint(parts), sizes, check)
}

func invalidPart(format string, args ...any) *StoreError {
	return &StoreError{400, "InvalidPart", "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag: " + fmt.Sprintf(format, args...)}
}

func (d *disk) Join(_ context.Context, r Ref, blobs []Blob, check Check) (Object, error) {
	var names []string
	for _, b := range blobs {
		if !goodID().MatchString(b.Name) {
			return Object{}, invalidPart("%q", b.Name)
		}
		names = append(names, filepath.Join("blobs", b.Name))
	}
	if d.discard {
		for _, b := range blobs {
			if _, ok := d.discarded.Load(r.ID + "/" + b.Name); !ok {
				return Object{}, invalidPart("%q", b.Name)
			}
		}
		return d.end(r, "", Object{Key: r.Key, ETag: discardETag(0)})
	}
	return d.assemble(r, names, fingerprint(names), func(int, string, int64) error { return nil }, check)
}

func (d *disk) Put(_ context.Context, r Ref, body io.Reader) (Blob, error) {
	b := Blob{Name: newID("blob-")}
	if d.discard {
		if _, _, err := d.open(r); err != nil {
			return Blob{}, err
		}
		n, err := copyAll(io.Discard, body)
		b.Size = n
		d.discarded.Store(r.ID+"/"+b.Name, n)
		return b, err
	}
	got, err := d.receive(r, body, false)
	if err != nil {
		got.drop()
		return Blob{}, err
	}
	b.Size = got.size
	if err := d.commit(r, got, filepath.Join("blobs", b.Name)); err != nil {
		got.drop()
		return Blob{}, err
	}
	return b, nil
}

// assemble makes the object of the named files.
func (d *disk) assemble(r Ref, names []string, asked string, accept func(i int, etag string, size int64) error, check Check) (Object, error) {
	unlock, err := d.lock(r)
	if err != nil {
		return Object{}, err
	}
	defer unlock()
	dir, ended, err := d.open(r)
	if ended != nil && ended.Object != nil && ended.Asked == asked {
		return *ended.Object, nil // the process was killed between this and its answer
	}
	if err != nil {
		return Object{}, err
	}
	out, err := os.OpenFile(filepath.Join(dir, "new", "object"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return Object{}, err
	}
	defer func() { _ = os.Remove(out.Name()) }() // unless it became the object
	o := Object{Key: r.Key}
	w := io.Writer(out)
	if check != nil {
		w = io.MultiWriter(out, check)
	}
	sums := md5.New()
	for i, name := range names {
		n, err := appendPart(w, sums, filepath.Join(dir, name), i, accept)
		if err != nil {
			_ = out.Close()
			return Object{}, err
		}
		o.Size += n
	}
	if err := out.Close(); err != nil {
		return Object{}, err
	}
	if check != nil {
		if err := check.Check(); err != nil {
			return Object{}, err
		}
	}
	o.ETag = fmt.Sprintf(`"%x-%d"`, sums.Sum(nil), len(names))
	o.Path = d.path(r.Key)
	if err := os.MkdirAll(filepath.Dir(o.Path), 0o700); err != nil {
		return Object{}, err
	}
	if err := os.Rename(out.Name(), o.Path); err != nil {
		return Object{}, err
	}
	return d.end(r, asked, o)
}

func appendPart(w, sums io.Writer, path string, i int, accept func(int, string, int64) error) (int64, error) {
	f, etag, size, err := openStored(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, invalidPart("%s is not stored", filepath.Base(path))
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if err := accept(i, etag, size); err != nil {
		return 0, err
	}
	sum, err := hex.DecodeString(strings.Trim(etag, `"`))
	if err != nil {
		sum = []byte(etag) // opaque
	}
	_, _ = sums.Write(sum)
	return copyAll(w, io.LimitReader(f, size))
}

// end remembers what an upload came to and deletes its parts.
func (d *disk) end(r Ref, asked string, o Object) (Object, error) {
	dir := d.dir(r.ID)
	if err := writeJSON(filepath.Join(dir, "ended.json"), storedUpload{Key: r.Key, Asked: asked, Object: &o}); err != nil {
		return Object{}, err
	}
	for _, sub := range []string{"parts", "blobs", "new"} {
		if err := os.RemoveAll(filepath.Join(dir, sub)); err != nil {
			return Object{}, err
		}
	}
	return o, nil
}

// forget is Complete for a store that discards.
func (d *disk) forget(ctx context.Context, r Ref, parts []Part, accept func(int, string, int64) error) (Object, error) {
	o := Object{Key: r.Key, ETag: discardETag(0)}
	for i, p := range parts {
		have, err := d.Parts(ctx, r, []int{p.Number})
		if err != nil {
			return Object{}, err
		}
		if len(have) == 0 {
			return Object{}, invalidPart("part %d is not stored", p.Number)
		}
		if err := accept(i, have[0].ETag, have[0].Size); err != nil {
			return Object{}, err
		}
		o.Size += have[0].Size
	}
	return d.end(r, "", o)
}
