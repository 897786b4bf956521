package check

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/multiput/multiput/pkg/upload"
)

// create opens an upload and looks at all that is promised of it.
func (t *trial) create(p upload.Provider, f upload.File) (upload.Upload, []upload.Presigned) {
	t.Helper()
	u, gs, err := t.tryCreate(p, f)
	if err != nil {
		t.Fatalf("create %q of %d bytes: %v", f.Name, f.Size, err)
	}
	if len(u.Existing) > 0 {
		t.Errorf("a new upload has ranges that the provider already had: %v", u.Existing)
	}
	count := max(1, (f.Size+t.PartSize-1)/t.PartSize)
	if int64(len(u.Parts)) != count {
		t.Fatalf("%d bytes are planned as %d parts, want %d of %d bytes", f.Size, len(u.Parts), count, t.PartSize)
	}
	return u, gs
}

// tryCreate opens an upload, and splits the file where that is left to the
// client.
func (t *trial) tryCreate(p upload.Provider, f upload.File) (u upload.Upload, gs []upload.Presigned, err error) {
	t.Helper()
	err = t.try(func() (err error) {
		u, gs, err = open(t.Context(), p, f, upload.Hint{PartSize: t.PartSize})
		return err
	})
	if err != nil {
		return u, gs, err
	}
	switch {
	case u.ID == "":
		t.Errorf("create: the upload has no id")
	case u.File != f:
		t.Errorf("create: the upload is of %+v, want %+v", u.File, f)
	case u.Renewable != t.Renewable:
		t.Errorf("create: the upload is renewable: %t, want %t", u.Renewable, t.Renewable)
	case u.Digest != t.Digest:
		t.Errorf("create: the upload takes the digest %q, want %q", u.Digest, t.Digest)
	}
	planned := numbers(u.Parts)
	for _, g := range gs {
		if !slices.Contains(planned, g.Part) {
			t.Errorf("create: a presigned URL for part %d, which is not in the plan", g.Part)
		}
	}
	t.clean("the upload", u)
	t.clean("the urls", gs)
	return u, gs, nil
}

func numbers(parts []upload.Part) []int {
	ns := make([]int, len(parts))
	for i, p := range parts {
		ns[i] = p.Number
	}
	return ns
}

// urls has presigned URLs for all of the parts: those at hand, and the others as
// often as the provider has to be asked.
func (t *trial) urls(p upload.Provider, u upload.Upload, have []upload.Presigned, parts []upload.Part) map[int]upload.Presigned {
	t.Helper()
	var got map[int]upload.Presigned
	if err := t.try(func() (err error) {
		got, err = presignAll(t.Context(), p, u, have, parts)
		return err
	}); err != nil {
		t.Fatalf("presign %v: %v", numbers(parts), err)
	}
	t.clean("the URLs", got)
	return got
}

// presigned asks once. What comes is for parts that were asked for, and not
// nothing.
func (t *trial) presigned(p upload.Provider, u upload.Upload, parts []upload.Part) []upload.Presigned {
	t.Helper()
	var gs []upload.Presigned
	err := t.try(func() (err error) {
		gs, err = p.Presign(t.Context(), u, parts)
		return err
	})
	asked := numbers(parts)
	if err != nil {
		t.Fatalf("presigned %v: %v", asked, err)
	}
	if len(gs) == 0 {
		t.Fatalf("presigned %v: nothing, and no error", asked)
	}
	for _, g := range gs {
		if !slices.Contains(asked, g.Part) {
			t.Errorf("presigned %v: one for part %d", asked, g.Part)
		}
	}
	t.clean("the urls", gs)
	return gs
}

// put sends one part of body, which is the whole file.
func (t *trial) put(p upload.Provider, u upload.Upload, g upload.Presigned, part upload.Part, body []byte) upload.Receipt {
	t.Helper()
	r, err := t.tryPut(p, u, g, part, body)
	if err != nil {
		t.Fatalf("put part %d: %v", part.Number, err)
	}
	if r.Part != part.Number || r.Value == "" {
		t.Fatalf("put part %d: the receipt is %+v", part.Number, r)
	}
	t.clean("the receipt", r)
	return r
}

func (t *trial) tryPut(p upload.Provider, u upload.Upload, g upload.Presigned, part upload.Part, body []byte) (r upload.Receipt, err error) {
	t.Helper()
	err = t.try(func() (err error) {
		r, err = p.Put(t.Context(), u, g, part, bytes.NewReader(body[part.Offset:][:part.Size]))
		return err
	})
	return r, err
}

// putAll sends parts one after the other, last first: no provider may count on
// their order. The receipts come in the order of the plan.
func (t *trial) putAll(p upload.Provider, u upload.Upload, gs []upload.Presigned, parts []upload.Part, body []byte) []upload.Receipt {
	t.Helper()
	urls := t.urls(p, u, gs, parts)
	var rs []upload.Receipt
	for _, part := range slices.Backward(parts) {
		rs = append(rs, t.put(p, u, urls[part.Number], part, body))
	}
	return inPlan(u, rs)
}

// inPlan puts receipts into the order of the plan.
func inPlan(u upload.Upload, rs []upload.Receipt) []upload.Receipt {
	at := map[int]int64{}
	for _, p := range u.Parts {
		at[p.Number] = p.Offset
	}
	return slices.SortedFunc(slices.Values(rs), func(a, b upload.Receipt) int { return cmp.Compare(at[a.Part], at[b.Part]) })
}

// complete ends the upload, and holds that the object is the file.
func (t *trial) complete(p upload.Provider, u upload.Upload, rs []upload.Receipt, body []byte) upload.Result {
	t.Helper()
	result, err := t.tryComplete(p, u, rs, digests(u, body))
	if err != nil {
		t.Fatalf("complete: %v", err)
	}
	t.result(result)
	t.object(u, result, body)
	return result
}

func (t *trial) tryComplete(p upload.Provider, u upload.Upload, rs []upload.Receipt, d upload.Digests) (result upload.Result, err error) {
	t.Helper()
	err = t.try(func() (err error) {
		result, err = p.Complete(t.Context(), u, rs, d)
		return err
	})
	return result, err
}

func (t *trial) result(r upload.Result) {
	t.Helper()
	if r.Value == "" || strings.ContainsAny(r.Value, "\r\n") {
		t.Errorf("complete: the result is %q, want one line", r.Value)
	}
	if !json.Valid(r.Reply) {
		t.Errorf("complete: the reply is not JSON: %q", r.Reply)
	}
	t.clean("the result", r)
}

// object holds that the finished object is the file, byte for byte.
func (t *trial) object(u upload.Upload, r upload.Result, want []byte) {
	t.Helper()
	name, got, err := t.Object(t.Context(), u, r)
	if err != nil {
		t.Fatalf("fetch the object of %s: %v", u.ID, err)
	}
	if name != "" && name != u.File.Name {
		t.Errorf("the API calls the object %q, want %q", name, u.File.Name)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the object is not the file: %s", otherBytes(got, want))
	}
}

func otherBytes(got, want []byte) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("byte %d of %d is another (the file has %d)", i, len(got), len(want))
		}
	}
	return fmt.Sprintf("it has %d bytes, and the file %d", len(got), len(want))
}
