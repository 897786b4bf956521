package upload_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// cloud is a Provider in memory, with the store behind it. It is strict, and
// goes wrong where a test wants it to.
type cloud struct {
	*process

	// What kind of API it is.
	partSize  int64                              // of its plan; 0: the client plans
	first     int                                // the number of its first part
	renewable bool                               // whether urls are issued again
	signed    bool                               // whether create gives the first urls
	life      time.Duration                      // of a presigned URL; 0: no end
	digest    string                             // what complete takes
	held      []upload.Range                     // what it had before
	expires   time.Time                          // of an upload
	limits    upload.Limits                      //
	strict    bool                               // complete refuses receipts that were checkpointed
	already   bool                               // a second complete gives the same answer
	etag      func(part int, data []byte) string // nil: the MD5, quoted
	takes     time.Duration                      // how long a part is on its way
	rate      int64                              // bytes per second of one part; 0: no limit
	straggles func(n int, p upload.Part) bool    // whether this try of a part never ends, though bytes move
	wants     bool                               // its plan respects Hint.PartSize
	ends      bool                               // it refuses an upload after its end
	skew      time.Duration                      // how far this machine's clock is ahead of its

	// Where it goes wrong. Each is asked before it acts; lose, after it.
	onCreate, onComplete, onAbort func(n int) error
	onPresign                     func(n int, parts []upload.Part) error
	onCheckpoint                  func(n int, rs []upload.Receipt) error
	onPut                         func(n int, p upload.Part) error // n counts the tries of this part
	damage                        func(n int, p upload.Part) bool  // whether the part is stored as other bytes
	losePut                       func(n int, p upload.Part) error
	loseComplete, loseCheckpoint  func(n int) error
	refuseURL                     func(p upload.Part, serial int) bool // as expired
	onProbe                       func(n int) (upload.Answer, error)   // nil: the truth

	// spy is asked of each PUT, complete and probe, before anything else.
	spyPut                func(id string, p upload.Part)
	spyComplete, spyProbe func(id string)

	mu          sync.Mutex
	ids         int
	serial      int
	uploads     map[string]*cloudUpload
	objects     [][]byte
	creates     int
	wanted      []int64 // the part sizes that creates asked for
	completes   int
	probes      int
	checkpoints [][]int
	urls        [][]int // the parts of each call
	aborted     []string
	putting     int
	mostPutting int
}

type cloudUpload struct {
	made         time.Time
	size         int64
	parts        []upload.Part
	data         map[int][]byte
	tokens       map[int]string
	checkpointed map[int]string
	tries        map[int]int // PUTs begun
	puts         map[int]int // PUTs that stored
	serials      map[int]int // of the newest presigned
	ends         map[int]time.Time
	done         bool
	gone         bool
	result       upload.Result
}

func newCloud(p *process) *cloud {
	return &cloud{process: p, partSize: 1000, first: 1, renewable: true, uploads: make(map[string]*cloudUpload)}
}

func plainETag(_ int, data []byte) string {
	sum := md5.Sum(data)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// opaqueETag looks like an MD5 and is none, as those of SSE-KMS do.
func opaqueETag(part int, data []byte) string {
	sum := md5.Sum(append([]byte(fmt.Sprintf("secret %d", part)), data...))
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

func tokenETag(part int, _ []byte) string { return fmt.Sprintf("part_%d-x", part) }

// trouble is an answer that passes.
func trouble(status int) error {
	return &transport.Error{Op: "test", Status: status, Retry: true}
}

// silence is an exchange without an answer.
func silence() error {
	return &transport.Error{Op: "test", Err: errors.New("connection reset"), Retry: true}
}

// unreachable is an exchange that never began.
func unreachable() error {
	return &transport.Error{Op: "test", Err: errors.New("connection refused"), Retry: true, Unsent: true}
}

func ask(hook func(int) error, n int) error {
	if hook == nil {
		return nil
	}
	return hook(n)
}

func (c *cloud) Limits() upload.Limits {
	l := c.limits
	l.TakesHint = c.wants
	return l
}

func (c *cloud) Skew() (time.Duration, bool) { return c.skew, c.skew != 0 }

func (c *cloud) alive(ctx context.Context) error {
	if c.killed.Load() {
		return errKilled
	}
	if ctx.Err() != nil {
		return &transport.Error{Op: "test", Err: context.Cause(ctx), Unsent: true}
	}
	return nil
}

func (c *cloud) Create(ctx context.Context, f upload.File, w upload.Hint) (upload.Upload, []upload.Presigned, error) {
	if err := c.alive(ctx); err != nil {
		return upload.Upload{}, nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.creates++
	if err := ask(c.onCreate, c.creates); err != nil {
		return upload.Upload{}, nil, err
	}
	c.ids++
	up := upload.Upload{
		ID: fmt.Sprintf("u%d", c.ids), File: f, Expires: c.expires, Digest: c.digest, Renewable: c.renewable,
		Existing: c.held, Data: json.RawMessage(`{"k":1}`),
	}
	cu := &cloudUpload{
		made: time.Now(),
		size: f.Size, data: make(map[int][]byte), tokens: make(map[int]string), checkpointed: make(map[int]string),
		tries: make(map[int]int), puts: make(map[int]int), serials: make(map[int]int), ends: make(map[int]time.Time),
	}
	c.uploads[up.ID] = cu
	if ps := c.partSize; ps > 0 {
		if c.wants && w.PartSize > 0 {
			ps = w.PartSize
		}
		c.wanted = append(c.wanted, w.PartSize)
		n := c.first
		for off := int64(0); off < f.Size || off == 0; off += ps {
			size := min(ps, f.Size-off)
			if !slices.ContainsFunc(c.held, func(h upload.Range) bool { return h.Offset <= off && off < h.Offset+h.Size }) {
				up.Parts = append(up.Parts, upload.Part{Number: n, Offset: off, Size: size})
			}
			n++
		}
		cu.parts = slices.Clone(up.Parts)
	}
	var gs []upload.Presigned
	if c.signed || !c.renewable {
		gs = c.issue(up.ID, up.Parts)
	}
	return up, gs, nil
}

func (c *cloud) issue(id string, parts []upload.Part) []upload.Presigned {
	cu := c.uploads[id]
	gs := make([]upload.Presigned, len(parts))
	for i, p := range parts {
		c.serial++
		cu.serials[p.Number] = c.serial
		gs[i] = upload.Presigned{Part: p.Number, URL: fmt.Sprintf("https://store/%s/%d/%d", id, p.Number, c.serial)}
		if c.life > 0 {
			gs[i].Expires = time.Now().Add(c.life)
			cu.ends[c.serial] = gs[i].Expires
		}
	}
	return gs
}

func (c *cloud) find(id string) (*cloudUpload, error) {
	cu := c.uploads[id]
	if cu == nil || cu.gone || cu.done {
		return cu, fmt.Errorf("no such upload: %w", upload.ErrGone)
	}
	return cu, nil
}

func (c *cloud) Presign(ctx context.Context, u upload.Upload, parts []upload.Part) ([]upload.Presigned, error) {
	if err := c.alive(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var numbers []int
	for _, p := range parts {
		numbers = append(numbers, p.Number)
	}
	c.urls = append(c.urls, numbers)
	if !c.renewable {
		return nil, fmt.Errorf("there is no such call: %w", upload.ErrExpired)
	}
	if c.onPresign != nil {
		if err := c.onPresign(len(c.urls), parts); err != nil {
			return nil, err
		}
	}
	if _, err := c.find(u.ID); err != nil {
		return nil, err
	}
	return c.issue(u.ID, parts), nil
}

func (c *cloud) Put(ctx context.Context, u upload.Upload, g upload.Presigned, p upload.Part, body io.Reader) (upload.Receipt, error) {
	if err := c.alive(ctx); err != nil {
		return upload.Receipt{}, err
	}
	if c.spyPut != nil {
		c.spyPut(u.ID, p)
	}
	n, err := c.begin(u, g, p)
	if err != nil {
		return upload.Receipt{}, err
	}
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.putting--
	}()
	data, err := io.ReadAll(body)
	if err != nil {
		return upload.Receipt{}, err
	}
	c.mu.Lock()
	takes := c.takes
	if c.rate > 0 {
		takes += time.Duration(float64(p.Size) / float64(c.rate) * float64(time.Second))
	}
	c.mu.Unlock()
	if c.straggles != nil && c.straggles(n, p) {
		takes = 100 * time.Hour
	}
	if takes > 0 {
		timer := time.NewTimer(takes)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return upload.Receipt{}, &transport.Error{Op: "test", Err: context.Cause(ctx)}
		}
	}
	if err := c.alive(ctx); err != nil {
		return upload.Receipt{}, err
	}
	return c.store(u, p, n, data)
}

func (c *cloud) begin(u upload.Upload, g upload.Presigned, p upload.Part) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cu, err := c.find(u.ID)
	if err != nil {
		return 0, err
	}
	cu.tries[p.Number]++
	if g.Part != p.Number {
		return 0, fmt.Errorf("a presigned URL for part %d sends part %d: %w", g.Part, p.Number, upload.ErrRefused)
	}
	var part, serial int
	if _, err := fmt.Sscanf(g.URL, "https://store/"+u.ID+"/%d/%d", &part, &serial); err != nil || part != p.Number {
		return 0, fmt.Errorf("presigned %q is not for part %d of %s: %w", g.URL, p.Number, u.ID, upload.ErrRefused)
	}
	if c.ends && cu.made.Before(c.expires) && time.Now().After(c.expires) {
		return 0, fmt.Errorf("the upload has ended: %w", upload.ErrRefused)
	}
	if end, ok := cu.ends[serial]; ok && !time.Now().Before(end) || c.refuseURL != nil && c.refuseURL(p, serial) {
		return 0, fmt.Errorf("request has expired: %w", upload.ErrExpired)
	}
	if c.onPut != nil {
		if err := c.onPut(cu.tries[p.Number], p); err != nil {
			return 0, err
		}
	}
	c.putting++
	c.mostPutting = max(c.mostPutting, c.putting)
	return cu.tries[p.Number], nil
}

func (c *cloud) store(u upload.Upload, p upload.Part, n int, data []byte) (upload.Receipt, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cu, err := c.find(u.ID)
	if err != nil {
		return upload.Receipt{}, err
	}
	if int64(len(data)) != p.Size {
		return upload.Receipt{}, fmt.Errorf("part %d came with %d bytes of %d: %w", p.Number, len(data), p.Size, upload.ErrRefused)
	}
	if c.damage != nil && len(data) > 0 && c.damage(n, p) {
		data[len(data)/2] ^= 1
	}
	etag := c.etag
	if etag == nil {
		etag = plainETag
	}
	cu.data[p.Number], cu.tokens[p.Number] = data, etag(p.Number, data)
	cu.puts[p.Number]++
	if c.losePut != nil {
		if err := c.losePut(n, p); err != nil {
			return upload.Receipt{}, err
		}
	}
	return upload.Receipt{Part: p.Number, Value: cu.tokens[p.Number]}, nil
}

func (c *cloud) Complete(ctx context.Context, u upload.Upload, rs []upload.Receipt, d upload.Digests) (upload.Result, error) {
	if err := c.alive(ctx); err != nil {
		return upload.Result{}, err
	}
	if c.spyComplete != nil {
		c.spyComplete(u.ID)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.completes++
	if err := ask(c.onComplete, c.completes); err != nil {
		return upload.Result{}, err
	}
	cu, err := c.find(u.ID)
	if err != nil {
		if cu != nil && cu.done && c.already {
			return cu.result, nil
		}
		return upload.Result{}, err
	}
	object, err := c.assemble(u, cu, rs, d)
	if err != nil {
		return upload.Result{}, fmt.Errorf("%w: %w", err, upload.ErrRefused)
	}
	c.objects = append(c.objects, object)
	cu.done = true
	cu.result = upload.Result{Value: "object-" + u.ID, Reply: json.RawMessage(`{"ok":true}`)}
	if err := ask(c.loseComplete, c.completes); err != nil {
		return upload.Result{}, err
	}
	return cu.result, nil
}

// assemble checks all that complete was told, and makes the object.
func (c *cloud) assemble(u upload.Upload, cu *cloudUpload, rs []upload.Receipt, d upload.Digests) ([]byte, error) {
	told := make(map[int]string)
	last := -1 << 62
	for i, r := range rs {
		if r.Part != u.Parts[i].Number || r.Part <= last {
			return nil, fmt.Errorf("receipt %d is of part %d", i, r.Part)
		}
		last = r.Part
		if r.Checkpointed {
			continue
		}
		if _, twice := cu.checkpointed[r.Part]; twice && c.strict {
			return nil, fmt.Errorf("part %d was checkpointed and is listed", r.Part)
		}
		told[r.Part] = r.Value
	}
	for n, token := range cu.checkpointed {
		if _, ok := told[n]; !ok {
			told[n] = token
		}
	}
	object := make([]byte, cu.size)
	for _, h := range c.held {
		copy(object[h.Offset:], bytes.Repeat([]byte{heldByte}, int(h.Size)))
	}
	for _, p := range u.Parts {
		if told[p.Number] == "" || told[p.Number] != cu.tokens[p.Number] {
			return nil, fmt.Errorf("part %d: receipt %q, stored is %q", p.Number, told[p.Number], cu.tokens[p.Number])
		}
		copy(object[p.Offset:p.Offset+p.Size], cu.data[p.Number])
	}
	sum := md5.Sum(object)
	crc := binary.BigEndian.AppendUint32(nil, crc32.Checksum(object, crc32.MakeTable(crc32.Castagnoli)))
	switch c.digest {
	case upload.DigestMD5:
		if !bytes.Equal(d.MD5, sum[:]) || d.CRC32C != nil {
			return nil, errors.New("the MD5 of the whole is another")
		}
	case upload.DigestSHA1:
		if sum := sha1.Sum(object); !bytes.Equal(d.SHA1, sum[:]) || d.MD5 != nil || d.CRC32C != nil {
			return nil, errors.New("the SHA-1 of the whole is another")
		}
	case upload.DigestCRC32C:
		if !bytes.Equal(d.CRC32C, crc) || d.MD5 != nil {
			return nil, errors.New("the CRC32C of the whole is another")
		}
	default:
		if d.MD5 != nil || d.CRC32C != nil {
			return nil, errors.New("a digest that was not asked for")
		}
	}
	return object, nil
}

// heldByte is what the ranges are full of that the cloud had before.
const heldByte = 'h'

func (c *cloud) Abort(ctx context.Context, u upload.Upload) error {
	if err := c.alive(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.aborted = append(c.aborted, u.ID)
	if err := ask(c.onAbort, len(c.aborted)); err != nil {
		return err
	}
	if cu := c.uploads[u.ID]; cu != nil {
		cu.gone = true
	}
	return nil
}

// checkpointing is a cloud that takes receipts early.
type checkpointing struct{ *cloud }

func (c checkpointing) Checkpoint(ctx context.Context, u upload.Upload, rs []upload.Receipt) error {
	if err := c.alive(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var numbers []int
	for _, r := range rs {
		numbers = append(numbers, r.Part)
	}
	c.checkpoints = append(c.checkpoints, numbers)
	n := len(c.checkpoints)
	if c.onCheckpoint != nil {
		if err := c.onCheckpoint(n, rs); err != nil {
			return err
		}
	}
	cu, err := c.find(u.ID)
	if err != nil {
		return err
	}
	for _, r := range rs {
		if cu.tokens[r.Part] != r.Value {
			return fmt.Errorf("part %d: receipt %q, stored is %q: %w", r.Part, r.Value, cu.tokens[r.Part], upload.ErrRefused)
		}
		cu.checkpointed[r.Part] = r.Value
	}
	return ask(c.loseCheckpoint, n)
}

// askable is a cloud that can be asked how an upload ended.
type askable struct{ *cloud }

func (c askable) Probe(ctx context.Context, u upload.Upload) (upload.Answer, upload.Result, error) {
	if err := c.alive(ctx); err != nil {
		return upload.Unknown, upload.Result{}, err
	}
	if c.spyProbe != nil {
		c.spyProbe(u.ID)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.probes++
	cu := c.uploads[u.ID]
	answer, err := upload.NotCompleted, error(nil)
	if cu.done {
		answer = upload.Completed
	}
	if c.onProbe != nil {
		answer, err = c.onProbe(c.probes)
	}
	if err != nil || answer != upload.Completed {
		return answer, upload.Result{}, err
	}
	return answer, cu.result, nil
}

// counts are how often each part of an upload was stored.
func (c *cloud) counts(id string) map[int]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cu := c.uploads[id]; cu != nil {
		m := make(map[int]int, len(cu.puts))
		for k, v := range cu.puts {
			m[k] = v
		}
		return m
	}
	return nil
}
