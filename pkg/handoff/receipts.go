package handoff

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/multiput/multiput/pkg/upload"
)

// line is one line of a receipts file.
type line struct {
	Version   int    `json:"version"`
	Plan      string `json:"plan"`
	Shard     string `json:"shard"`
	Part      int    `json:"part"`
	Receipt   text   `json:"receipt"`
	ETag      text   `json:"etag,omitempty"`
	CRC32C    string `json:"crc32c"`
	CRC64NVME string `json:"crc64nvme,omitempty"`
	MD5       string `json:"md5,omitempty"`
	Own       bool   `json:"own,omitempty"`
	Verified  bool   `json:"verified,omitempty"`

	Known json.RawMessage `json:"known,omitempty"`
}

// The end of a line is the checksum of what stands before it.
const lineSum = `,"sum":"00000000"}`

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sumOfLine(b []byte) []byte {
	return fmt.Appendf(nil, `,"sum":"%08x"}`, crc32.Checksum(b, castagnoli))
}

// EncodeReceipts are the receipts of a shard as they are written: a line of JSON
// for each.
func EncodeReceipts(plan string, s Shard, rs []upload.Receipt) ([]byte, error) {
	var out bytes.Buffer
	for _, r := range rs {
		b, err := json.Marshal(line{
			Version: Version, Plan: plan, Shard: s.String(), Part: r.Part, Receipt: text(r.Value), ETag: text(r.ETag),
			CRC32C: hexCRC(r.CRC32C), CRC64NVME: hexCRC64(r.CRC64NVME), MD5: hex.EncodeToString(r.MD5), Own: r.Own, Verified: r.Verified, Known: r.Known,
		})
		if err != nil {
			return nil, fmt.Errorf("encode the receipts: %w", err)
		}
		b = b[:len(b)-1]
		out.Write(b)
		out.Write(sumOfLine(b))
		out.WriteByte('\n')
	}
	return out.Bytes(), nil
}

// Receipts are those of one plan, from any number of files.
type Receipts struct {
	plan   *Plan
	parts  map[int]*Part // of the plan
	byPart map[int]found
	shards int // N of the shards that were seen; 0: none, or several
	mixed  bool
}

// found is a receipt, and where it was found.
type found struct {
	upload.Receipt
	at string
}

// Receipts is an empty collection of the plan's receipts.
func (p *Plan) Receipts() *Receipts {
	c := &Receipts{plan: p, parts: make(map[int]*Part, len(p.Parts)), byPart: make(map[int]found)}
	for i := range p.Parts {
		c.parts[p.Parts[i].Number] = &p.Parts[i]
	}
	return c
}

// Add reads the text of a receipts file, which messages call path. An error wraps
// ErrDamaged or ErrContradiction.
func (c *Receipts) Add(path string, b []byte) error {
	if len(b) > 0 && b[len(b)-1] != '\n' {
		return damaged(path, "its last line is not complete")
	}
	n := 0
	for raw := range bytes.Lines(b) {
		n++
		at := fmt.Sprintf("%s:%d", path, n)
		l, err := parseLine(at, bytes.TrimSuffix(raw, []byte("\n")))
		if err == nil {
			err = c.add(at, l)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func parseLine(at string, b []byte) (l line, err error) {
	split := len(b) - len(lineSum)
	if split < 0 || !bytes.HasPrefix(b, []byte(versionKey)) || !utf8.Valid(b) {
		return l, damaged(at, "it is not a receipt")
	}
	if err := newer(at, b); err != nil {
		return l, err
	}
	if !bytes.Equal(b[split:], sumOfLine(b[:split])) {
		return l, damaged(at, "the receipt does not match its checksum: it was edited or truncated")
	}
	if err := strict(append(bytes.Clone(b[:split]), '}'), &l); err != nil {
		return l, damaged(at, "%v", err)
	}
	if l.Version != Version {
		return l, damaged(at, "it is of version %d", l.Version)
	}
	return l, nil
}

func (c *Receipts) add(at string, l line) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%s: %s: %w", at, fmt.Sprintf(format, args...), ErrContradiction)
	}
	shard, err := ParseShard(l.Shard)
	if err != nil {
		return damaged(at, "%v", err)
	}
	r := upload.Receipt{Part: l.Part, Value: string(l.Receipt), ETag: string(l.ETag), Own: l.Own, Verified: l.Verified, Known: l.Known}
	if r.CRC32C, err = parseCRC(l.CRC32C); err != nil {
		return damaged(at, "%v", err)
	}
	if r.CRC64NVME, err = parseCRC64(l.CRC64NVME); err != nil {
		return damaged(at, "%v", err)
	}
	if l.MD5 != "" {
		if r.MD5, err = hex.DecodeString(l.MD5); err != nil || len(r.MD5) != 16 {
			return damaged(at, "%q is not an MD5", l.MD5)
		}
	}
	if l.Plan != c.plan.ID {
		return bad("the receipt is of the plan %s, and this is the plan %s", l.Plan, c.plan.ID)
	}
	part := c.parts[l.Part]
	if part == nil {
		return bad("the plan has no part %d", l.Part)
	}
	if sum := part.CRC32C; sum != "" && sum != l.CRC32C {
		return bad("part %d was sent with other bytes than were planned", l.Part)
	}
	if old, ok := c.byPart[l.Part]; ok && (old.Value != r.Value || old.ETag != r.ETag || old.CRC32C != r.CRC32C || old.CRC64NVME != r.CRC64NVME || r.MD5 != nil && old.MD5 != nil && !bytes.Equal(old.MD5, r.MD5)) {
		return bad("part %d has another receipt in %s", l.Part, old.at)
	} else if !ok || old.MD5 == nil {
		c.byPart[l.Part] = found{r, at}
	}
	c.mixed = c.mixed || c.shards > 0 && c.shards != shard.Of
	c.shards = shard.Of
	return nil
}

// All are the receipts, in the order of the plan. Where some are missing that
// stored has neither, the error is a *MissingError.
func (c *Receipts) All(stored []upload.Receipt) ([]upload.Receipt, error) {
	var rs []upload.Receipt
	have := make(map[int]bool, len(stored))
	for _, r := range stored {
		have[r.Part] = true
	}
	missing := new(MissingError)
	var places []int
	for i, p := range c.plan.Parts {
		if r, ok := c.byPart[p.Number]; ok {
			rs = append(rs, r.Receipt)
		} else if !have[p.Number] {
			missing.Parts = append(missing.Parts, p.Number)
			places = append(places, i)
		}
	}
	if len(places) == 0 {
		return rs, nil
	}
	if c.shards > 1 && !c.mixed {
		missing.Shards = shardsOf(places, len(c.plan.Parts), c.shards)
	}
	return nil, missing
}

// shardsOf are the shards, of this many, that have these places of n parts.
func shardsOf(places []int, n, of int) (shards []Shard) {
	for _, place := range places {
		// The first shard that ends behind it.
		s := Shard{int(int64(place)*int64(of)/int64(n)) + 1, of}
		for _, to := s.bounds(n); to <= place; _, to = s.bounds(n) {
			s.Index++
		}
		if !slices.Contains(shards, s) {
			shards = append(shards, s)
		}
	}
	return shards
}

// MissingError says of which parts there is no receipt.
type MissingError struct {
	Parts  []int   // their numbers
	Shards []Shard // that have them; nil: not known
}

func (e *MissingError) Error() string {
	s := "there are no receipts of parts " + runs(e.Parts)
	if len(e.Parts) == 1 {
		s = "there is no receipt of part " + runs(e.Parts)
	}
	if len(e.Shards) == 0 {
		return s
	}
	names := make([]string, len(e.Shards))
	for i, shard := range e.Shards {
		names[i] = shard.String()
	}
	word := "shards"
	if len(names) == 1 {
		word = "shard"
	}
	return fmt.Sprintf("%s (%s %s)", s, word, strings.Join(names, ", "))
}
