package manifest

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/multiput/multiput/pkg/provider/storeerr"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// Put sends one part. A reply without a receipt wraps upload.ErrReply and is
// temporary: to send the part again is sound.
func (p *speaker) Put(ctx context.Context, u upload.Upload, g upload.Presigned, part upload.Part, body io.Reader) (upload.Receipt, error) {
	s, err := p.scope(u)
	if err != nil {
		return upload.Receipt{}, err
	}
	s.parts = partsValue([]upload.Part{part})
	step := &p.m.part
	op := fmt.Sprintf("%s: send part %d", p.m.title, part.Number)
	address := g.URL
	if step.path != nil {
		if address, err = p.address(&step.call, s); err != nil {
			return upload.Receipt{}, fmt.Errorf("%s: %w: %w", op, upload.ErrReply, err)
		}
	}
	r := transport.Request{Op: op, Method: step.method, URL: address, Header: http.Header{}, Body: body, Size: part.Size, Bulk: true, Signed: step.path == nil}
	if step.digest != "" {
		if s.digests, err = digestOf(step.digest, body, part.Size); err != nil {
			return upload.Receipt{}, fmt.Errorf("%s: %w", op, err)
		}
	}
	if step.form != "" {
		var fields url.Values
		if step.fields != nil {
			if fields, err = p.values(ctx, step.fields, s); err != nil {
				return upload.Receipt{}, err
			}
		}
		if err := formBody(&r, step.form, u.File.Name, fields); err != nil {
			return upload.Receipt{}, fmt.Errorf("%s: %w", op, err)
		}
	}
	if err := p.setHeaders(ctx, r.Header, step.headers, s); err != nil {
		return upload.Receipt{}, err
	}
	for k, v := range g.Header {
		r.Header.Set(k, v)
	}
	if step.path != nil {
		for k, v := range p.m.headers {
			r.Header.Set(k, v)
		}
	}
	if step.auth {
		if err := p.authorize(r.Header, nil, address); err != nil {
			return upload.Receipt{}, fmt.Errorf("%s: %w: %w", op, upload.ErrReply, err)
		}
	}
	a, err := p.exchange(ctx, r, s)
	if err != nil {
		return upload.Receipt{}, unanswered(ctx, err, g)
	}
	if a.Status >= 300 {
		now, err := http.ParseTime(a.Header.Get("Date"))
		if err != nil {
			now = a.At
		}
		late := a.Status == http.StatusForbidden && step.path == nil && past(g, now)
		return upload.Receipt{}, p.refusal(ctx, a, s, refusal{api: step.path != nil, created: true, expired: late})
	}
	return p.receipt(ctx, a, s, part.Number)
}

// receipt reads the proof that a part is stored.
func (p *speaker) receipt(ctx context.Context, a *answer, s *scope, number int) (upload.Receipt, error) {
	e := p.m.part.receipt
	bad := func(format string, args ...any) error {
		return p.unusableFor(a, e.key, true, format, args...)
	}
	v, err := e.one(ctx, a.value, s)
	if err != nil {
		return upload.Receipt{}, bad("%v", err)
	}
	etag := ""
	if p.m.part.path == nil { // otherwise the API answered, and not the store
		etag = p.hidden.Replace(a.Header.Get("ETag"))
	}
	token, ok := toText(v)
	switch {
	case v == nil || v == "":
		if etag == "" && p.m.part.path == nil {
			return upload.Receipt{}, bad("the store sent no ETag, so there is no proof that the part is stored")
		}
		return upload.Receipt{}, bad("the answer (status %d, %s) has no proof that the part is stored", a.Status, a.kind)
	case !ok || !valueText.MatchString(token):
		return upload.Receipt{}, bad("the receipt is %s", show(v))
	}
	if etag == token {
		etag = ""
	}
	return upload.Receipt{Part: number, Value: token, ETag: etag}, nil
}

// unanswered says what it means that no answer came: some stores break the
// connection instead of refusing a presigned URL that is past its end.
func unanswered(ctx context.Context, err error, g upload.Presigned) error {
	var e *transport.Error
	if ctx.Err() == nil && errors.As(err, &e) && e.Status == 0 && e.Retry && !e.Unsent && past(g, time.Now()) {
		return &failure{upload.ErrExpired, e}
	}
	return err
}

// digestOf is the digest of a part that is still to be sent.
func digestOf(name string, body io.Reader, size int64) (any, error) {
	h := map[string]func() hash.Hash{upload.DigestMD5: md5.New, upload.DigestSHA1: sha1.New}[name]()
	switch b := body.(type) {
	case upload.Hashable:
		if err := b.Hash(h); err != nil {
			return nil, err
		}
	case io.ReadSeeker:
		if _, err := io.CopyN(h, b, size); err != nil {
			return nil, err
		}
		if _, err := b.Seek(-size, io.SeekCurrent); err != nil {
			return nil, err
		}
	default:
		return nil, errors.New("the part cannot be read before it is sent")
	}
	return digestsValue(name, upload.Digests{MD5: h.Sum(nil), SHA1: h.Sum(nil)}), nil
}

// formBody makes the body of r a form with these fields and the one file field,
// read as it goes.
func formBody(r *transport.Request, field, filename string, fields url.Values) error {
	var head bytes.Buffer
	w := multipart.NewWriter(&head)
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		for _, v := range fields[k] {
			if err := w.WriteField(k, v); err != nil {
				return fmt.Errorf("build the form: %w", err)
			}
		}
	}
	if _, err := w.CreateFormFile(field, strings.Map(printing, filename)); err != nil {
		return fmt.Errorf("build the form: %w", err)
	}
	tail := "\r\n--" + w.Boundary() + "--\r\n"
	r.Header.Set("Content-Type", w.FormDataContentType())
	size := int64(head.Len()) + r.Size + int64(len(tail))
	r.Body = io.MultiReader(&head, io.LimitReader(r.Body, r.Size), strings.NewReader(tail))
	r.Size = size
	return nil
}

// printing replaces a character that the header of a form's part cannot carry;
// the writer escapes quotes and line breaks. The API has the file's name from
// create: here it only says that the field is a file.
func printing(r rune) rune {
	if r < ' ' && r != '\r' && r != '\n' || r == 0x7f {
		return '_'
	}
	return r
}

// past reports whether a presigned URL has expired: by its own word, which is
// the store's, or by the provider's.
func past(g upload.Presigned, now time.Time) bool {
	end := storeerr.URLExpiry(g.URL)
	if end.IsZero() {
		end = g.Expires
	}
	return !end.IsZero() && !now.Before(end)
}
