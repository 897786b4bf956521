// Package s3store puts a real S3 server behind the sandbox's APIs, so that
// signatures, expiry, ETags and assembly are genuine. It is for tests: nothing
// that ships imports it.
package s3store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/multiput/multiput/pkg/internal/realstore"
	"github.com/multiput/multiput/pkg/sandbox"
)

// Store is a bucket of an S3 server.
type Store struct {
	server realstore.Server
	core   minio.Core
}

var (
	_ sandbox.Store  = (*Store)(nil)
	_ sandbox.Joiner = (*Store)(nil)
	_ sandbox.Remote = (*Store)(nil)
)

// blobs is where objects are kept that are parts of one to come.
const blobs = "blobs/"

// Open uses the bucket of a running server.
func Open(ctx context.Context, server realstore.Server) (*Store, error) {
	core, err := connect(server, server.Endpoint)
	if err != nil {
		return nil, err
	}
	has, err := core.BucketExists(ctx, server.Bucket)
	if err == nil && !has {
		err = fmt.Errorf("there is no bucket %s", server.Bucket)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", server.Endpoint, err)
	}
	return &Store{server: server, core: *core}, nil
}

// connect makes a client that signs for an origin. It tries once: what the
// server answers is what the sandbox answers.
func connect(server realstore.Server, origin string) (*minio.Core, error) {
	u, err := url.Parse(origin)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", origin, err)
	}
	core, err := minio.NewCore(u.Host, &minio.Options{
		Creds:        credentials.NewStaticV4(server.AccessKey, server.SecretKey, ""),
		Secure:       u.Scheme == "https",
		Region:       realstore.Region,
		BucketLookup: minio.BucketLookupPath,
		MaxRetries:   1,
	})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", origin, err)
	}
	return core, nil
}

// Origin is where the server is.
func (s *Store) Origin() string { return s.server.Endpoint }

// Create opens a multipart upload.
func (s *Store) Create(ctx context.Context, key string) (sandbox.Ref, error) {
	id, err := s.core.NewMultipartUpload(ctx, s.server.Bucket, key, minio.PutObjectOptions{})
	return sandbox.Ref{Key: key, ID: id}, refusal(err)
}

// Presign signs for the server, or for base if that is somewhere: a proxy.
func (s *Store) Presign(ctx context.Context, base string, r sandbox.Ref, part int, life time.Duration) (string, time.Time, error) {
	core := &s.core
	if base != "" && base != s.server.Endpoint {
		var err error
		if core, err = connect(s.server, base); err != nil {
			return "", time.Time{}, err
		}
	}
	u, err := core.Presign(ctx, http.MethodPut, s.server.Bucket, r.Key, life, url.Values{
		"partNumber": {strconv.Itoa(part)}, "uploadId": {r.ID},
	})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("sign for part %d: %w", part, err)
	}
	at, err := time.Parse("20060102T150405Z", u.Query().Get("X-Amz-Date"))
	return u.String(), at.Add(life), err
}

// Parts lists those of the parts that are stored.
func (s *Store) Parts(ctx context.Context, r sandbox.Ref, numbers []int) ([]sandbox.Part, error) {
	var list []sandbox.Part
	if len(numbers) == 0 {
		return list, nil
	}
	marker, last := slices.Min(numbers)-1, slices.Max(numbers)
	for {
		page, err := s.core.ListObjectParts(ctx, s.server.Bucket, r.Key, r.ID, marker, 1000)
		if err != nil {
			return nil, refusal(err)
		}
		for _, p := range page.ObjectParts {
			if slices.Contains(numbers, p.PartNumber) {
				list = append(list, sandbox.Part{Number: p.PartNumber, ETag: p.ETag, Size: p.Size})
			}
		}
		if !page.IsTruncated || page.NextPartNumberMarker >= last {
			return list, nil
		}
		marker = page.NextPartNumberMarker
	}
}

// Complete has the server assemble the object. As it is visible then, it is
// deleted if check does not accept it. It goes on when the client has left, as
// an API does that hands such work on; and MinIO, broken off in the middle of
// it, may neither have the object nor find the parts again.
func (s *Store) Complete(ctx context.Context, r sandbox.Ref, parts []sandbox.Part, check sandbox.Check) (sandbox.Object, error) {
	ctx = context.WithoutCancel(ctx)
	var list []minio.CompletePart
	var numbers []int
	for _, p := range parts {
		list = append(list, minio.CompletePart{PartNumber: p.Number, ETag: strings.Trim(p.ETag, `"`)})
		numbers = append(numbers, p.Number)
	}
	have, err := s.Parts(ctx, r, numbers)
	if err != nil {
		return sandbox.Object{}, err
	}
	for i, p := range have {
		if len(have) == len(parts) && parts[i].Size >= 0 && parts[i].Size != p.Size {
			return sandbox.Object{}, &sandbox.StoreError{
				Status: 400, Code: "InvalidPart",
				Message: fmt.Sprintf("part %d has %d bytes and should have %d", p.Number, p.Size, parts[i].Size),
			}
		}
	}
	if _, err := s.core.CompleteMultipartUpload(ctx, s.server.Bucket, r.Key, r.ID, list, minio.PutObjectOptions{}); err != nil {
		return sandbox.Object{}, refusal(err)
	}
	return s.inspect(ctx, r.Key, check)
}

func (s *Store) inspect(ctx context.Context, key string, check sandbox.Check) (sandbox.Object, error) {
	body, info, _, err := s.core.GetObject(ctx, s.server.Bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return sandbox.Object{}, fmt.Errorf("look at the object: %w", err)
	}
	defer body.Close()
	if check != nil {
		if _, err := io.Copy(check, body); err != nil {
			return sandbox.Object{}, fmt.Errorf("read the object: %w", err)
		}
		if err := check.Check(); err != nil {
			return sandbox.Object{}, errors.Join(err, s.core.RemoveObject(ctx, s.server.Bucket, key, minio.RemoveObjectOptions{}))
		}
	}
	return sandbox.Object{
		Key: key, ETag: `"` + strings.Trim(info.ETag, `"`) + `"`, Size: info.Size,
		Location: s.server.Endpoint + "/" + s.server.Bucket + "/" + (&url.URL{Path: key}).EscapedPath(),
	}, nil
}

// Abort gives a multipart upload up.
func (s *Store) Abort(ctx context.Context, r sandbox.Ref) error {
	return refusal(s.core.AbortMultipartUpload(ctx, s.server.Bucket, r.Key, r.ID))
}

// Put keeps what came through the API as an object of its own.
func (s *Store) Put(ctx context.Context, r sandbox.Ref, body io.Reader) (sandbox.Blob, error) {
	f, err := os.CreateTemp("", "blob-*")
	if err != nil {
		return sandbox.Blob{}, err
	}
	defer func() { _ = errors.Join(f.Close(), os.Remove(f.Name())) }()
	b := sandbox.Blob{Name: strings.ToLower(rand.Text())}
	if b.Size, err = io.Copy(f, body); err != nil {
		return sandbox.Blob{}, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return sandbox.Blob{}, err
	}
	_, err = s.core.Client.PutObject(ctx, s.server.Bucket, s.blob(r, b), f, b.Size, minio.PutObjectOptions{DisableMultipart: true})
	return b, refusal(err)
}

func (s *Store) blob(r sandbox.Ref, b sandbox.Blob) string { return blobs + r.ID + "/" + b.Name }

// Join sends the blobs to the server again, as the only part of the upload:
// together, as each of them may be too small for a part.
func (s *Store) Join(ctx context.Context, r sandbox.Ref, list []sandbox.Blob, check sandbox.Check) (sandbox.Object, error) {
	var (
		size    int64
		readers []io.Reader
	)
	for _, b := range list {
		body, _, _, err := s.core.GetObject(ctx, s.server.Bucket, s.blob(r, b), minio.GetObjectOptions{})
		if err != nil {
			return sandbox.Object{}, refusal(err)
		}
		defer body.Close()
		size += b.Size
		readers = append(readers, body)
	}
	part, err := s.core.PutObjectPart(ctx, s.server.Bucket, r.Key, r.ID, 1, io.MultiReader(readers...), size, minio.PutObjectPartOptions{})
	if err != nil {
		return sandbox.Object{}, refusal(err)
	}
	done := []minio.CompletePart{{PartNumber: 1, ETag: part.ETag}}
	if _, err := s.core.CompleteMultipartUpload(ctx, s.server.Bucket, r.Key, r.ID, done, minio.PutObjectOptions{}); err != nil {
		return sandbox.Object{}, refusal(err)
	}
	return s.inspect(ctx, r.Key, check)
}

// Objects returns the objects that were completed, by age.
func (s *Store) Objects(ctx context.Context) ([][]byte, error) {
	var infos []minio.ObjectInfo
	for info := range s.core.Client.ListObjects(ctx, s.server.Bucket, minio.ListObjectsOptions{Recursive: true}) {
		if info.Err != nil {
			return nil, fmt.Errorf("list objects: %w", info.Err)
		}
		if !strings.HasPrefix(info.Key, blobs) {
			infos = append(infos, info)
		}
	}
	slices.SortStableFunc(infos, func(a, b minio.ObjectInfo) int { return a.LastModified.Compare(b.LastModified) })
	var objects [][]byte
	for _, info := range infos {
		b, err := s.Object(ctx, info.Key)
		if err != nil {
			return nil, err
		}
		objects = append(objects, b)
	}
	return objects, nil
}

// Object reads one object.
func (s *Store) Object(ctx context.Context, key string) ([]byte, error) {
	body, _, _, err := s.core.GetObject(ctx, s.server.Bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	defer body.Close()
	return io.ReadAll(body)
}

// refusal tells what the server refused from what went wrong on the way.
func refusal(err error) error {
	var r minio.ErrorResponse
	if errors.As(err, &r) && r.StatusCode >= 400 && r.StatusCode < 500 {
		return &sandbox.StoreError{Status: r.StatusCode, Code: r.Code, Message: r.Message}
	}
	return err
}
