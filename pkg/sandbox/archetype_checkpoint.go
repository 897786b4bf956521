package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// archetypeToken is an entry of checkpoint and complete.
type archetypeToken struct {
	Number int    `json:"n"`
	Token  string `json:"t"`
}

func (o *object) archetypeTokens(u *upload) []archetypeToken {
	var list []archetypeToken
	seen := map[int]bool{}
	o.each("parts", func(item *object) {
		t := archetypeToken{int(item.integer("part_number")), item.text("part_token")}
		if t.Number < u.Base || t.Number >= u.Base+u.parts() {
			item.complain("part_number", fmt.Sprintf("is %d: the upload has no such part", t.Number), false)
		}
		if seen[t.Number] {
			item.complain("part_number", fmt.Sprintf("is %d, and that came before", t.Number), false)
		}
		seen[t.Number] = true
		list = append(list, t)
	})
	return list
}

func (s *Server) archetypeCheckpoint(c *call) reply {
	o, bad := c.readJSON()
	if bad != nil {
		return archetypeFail(400, "", bad.Error())
	}
	u, release, err := s.hold(c.rec.Upload)
	if err != nil {
		return archetypeTrouble(err)
	}
	defer release()
	tokens := o.archetypeTokens(u)
	if bad := o.done(); bad != nil {
		return archetypeFail(400, "", bad.Error())
	}
	if rp, ended := archetypeEnded(u); ended {
		return rp
	}
	var numbers []int
	for _, t := range tokens {
		numbers = append(numbers, t.Number-u.Base+1)
	}
	have, err := s.Store.Parts(c.r.Context(), u.Ref, numbers)
	if err != nil {
		return archetypeTrouble(err)
	}
	for i, t := range tokens {
		at := slices.IndexFunc(have, func(p Part) bool { return p.Number == numbers[i] })
		if at < 0 || unquote(have[at].ETag) != unquote(t.Token) {
			return archetypeFail(400, "invalid_part", fmt.Sprintf("part_token of part %d is not what the store returned.", t.Number))
		}
	}
	if err := s.addCheckpoints(u.ID, tokens); err != nil {
		return archetypeTrouble(err)
	}
	return ok(200, map[string]any{"num_checkpointed": len(tokens)})
}

func unquote(etag string) string { return strings.Trim(etag, `"`) }

func (s *Server) checkpointFile(id string) string {
	return filepath.Join(s.dirOf(id), "checkpoints.jsonl")
}

// addCheckpoints appends: an upload of 10,000 parts may have as many calls.
func (s *Server) addCheckpoints(id string, tokens []archetypeToken) error {
	var b []byte
	for _, t := range tokens {
		b = append(append(b, toJSON(t)...), '\n')
	}
	f, err := os.OpenFile(s.checkpointFile(id), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

// checkpoints returns the tokens that were checkpointed, by part number. A
// line that a killed process left unfinished was never answered.
func (s *Server) checkpoints(id string) (map[int]string, error) {
	b, err := os.ReadFile(s.checkpointFile(id))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	held := map[int]string{}
	for line := range bytes.Lines(b) {
		var t archetypeToken
		if json.Unmarshal(line, &t) == nil && line[len(line)-1] == '\n' {
			held[t.Number] = t.Token
		}
	}
	return held, nil
}
