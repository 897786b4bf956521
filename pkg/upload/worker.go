package upload

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/multiput/multiput/pkg/source"
)

// counter counts bytes in one goroutine, for another to tell how far it is.
type counter struct{ atomic.Int64 }

// job is one attempt to send a part. sent counts the bytes that were handed to
// the network; ahead and it are all that a worker and the owner share.
type job struct {
	up    Upload
	to    Presigned
	part  Part
	md5   bool // whether the MD5 is wanted
	began time.Time
	ahead counter // bytes that were read for what the request has to say of them
	sent  counter
	noMD5 chan struct{} // has room for one: the MD5 is not wanted after all
}

// outcome is what an attempt came to: a receipt, with the digests of what was
// sent, or an error.
type outcome struct {
	job     *job
	receipt Receipt
	err     error
}

// send makes one attempt. Until ctx ends, it reads, hashes and puts.
func send(ctx context.Context, p Provider, src *source.File, j *job) outcome {
	section := src.Section(j.part.Offset, j.part.Size, j.md5)
	if j.up.Digest == DigestCRC64NVME {
		section.WithCRC64NVME()
	}
	defer section.Close()
	r, err := p.Put(ctx, j.up, j.to, j.part, &partBody{src: src, job: j, r: section, stop: ctx.Done()})
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	d, complete := section.Digest()
	if complete && !asPlanned(j.part, d) { // the store refuses it however often it comes
		err = fmt.Errorf("%s: part %d has other bytes than were planned: %w", src, j.part.Number, ErrNotPlanned)
	}
	if err != nil {
		return outcome{job: j, err: err}
	}
	if !complete {
		return outcome{job: j, err: &damaged{fmt.Sprintf("part %d was confirmed before all of it was sent", j.part.Number)}}
	}
	r.Part, r.CRC32C, r.CRC64NVME, r.MD5, r.Checkpointed = j.part.Number, d.CRC32C, d.CRC64NVME, d.MD5, false
	return outcome{job: j, receipt: r}
}

// asPlanned reports whether a part has the digest that its URL was signed with, where
// there is one: a file may have the planned size and time, and other bytes.
func asPlanned(p Part, sent source.Digest) bool {
	planned, err := base64.StdEncoding.DecodeString(p.Digest)
	switch {
	case err == nil && len(planned) == 8 && sent.CRC64NVME != 0:
		return binary.BigEndian.Uint64(planned) == sent.CRC64NVME
	case err == nil && len(planned) == 4:
		return binary.BigEndian.Uint32(planned) == sent.CRC32C
	}
	return true
}

// partBody is the body of a part: it counts what is read.
type partBody struct {
	src  *source.File
	job  *job
	r    *source.Section
	stop <-chan struct{} // closed when the attempt is ended
}

// At most fewBytes are read at once at the beginning, and where a connection has
// fewRate bytes per second or less: what is read counts as sent, and in large pieces
// that says little about how fast the link is.
const (
	fewBytes  = 32 << 10
	fewRate   = 4e6
	beginning = 512 << 10 // bytes of a part
)

var _ Hashable = (*partBody)(nil)

func (b *partBody) Read(p []byte) (int, error) {
	select {
	case <-b.job.noMD5:
		b.r.WithoutMD5()
	default:
	}
	sent := b.job.sent.Load()
	if len(p) > fewBytes && (sent < beginning || float64(sent) < fewRate*time.Since(b.job.began).Seconds()) {
		p = p[:fewBytes]
	}
	n, err := b.r.Read(p)
	b.job.sent.Add(int64(n))
	return n, err
}

// Hash reads the part once more, ahead of its sending.
func (b *partBody) Hash(w io.Writer) error {
	section := b.src.Section(b.job.part.Offset, b.job.part.Size, false)
	defer section.Close()
	b.job.ahead.Store(0)
	_, err := io.Copy(w, &aheadBody{section, b})
	return err
}

// aheadBody is the body of a part that is read ahead: it counts what is read, and
// ends with the attempt.
type aheadBody struct {
	r    io.Reader
	part *partBody
}

func (a *aheadBody) Read(p []byte) (int, error) {
	select {
	case <-a.part.stop:
		return 0, context.Canceled
	default:
	}
	n, err := a.r.Read(p)
	a.part.job.ahead.Add(int64(n))
	return n, err
}

// damaged is a part that is stored as other bytes than the file's. Sending it
// again is sound.
type damaged struct{ why string }

func (e *damaged) Error() string             { return e.why }
func (e *damaged) Unwrap() error             { return ErrChecksum }
func (e *damaged) Temporary() bool           { return true }
func (e *damaged) RetryAfter() time.Duration { return 0 }
