package s3

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/upload"
)

// paged lists 7 uploads and 7 parts of each, page by page. A store that is stuck
// gives the first page forever.
func paged(page int, stuck bool) *scripted {
	const all = 7
	window := func(after string) (from, to int, next string) {
		if from, _ = strconv.Atoi(after); stuck {
			from = 0
		}
		to = min(from+page, all)
		return from, to, strconv.Itoa(to)
	}
	return &scripted{answer: func(r *http.Request, _ string) (int, map[string]string, string) {
		q := r.URL.Query()
		var items strings.Builder
		if q.Has("uploadId") {
			from, to, next := window(q.Get("part-number-marker"))
			for n := from + 1; n <= to; n++ {
				fmt.Fprintf(&items, `<Part><PartNumber>%d</PartNumber><Size>10</Size><ETag>"e%d"</ETag></Part>`, n, n)
			}
			return 200, nil, fmt.Sprintf(`<ListPartsResult><IsTruncated>%t</IsTruncated><NextPartNumberMarker>%s</NextPartNumberMarker>%s</ListPartsResult>`, to < all, next, items.String())
		}
		from, to, next := window(q.Get("upload-id-marker"))
		for n := from + 1; n <= to; n++ {
			fmt.Fprintf(&items, `<Upload><Key>k</Key><UploadId>u%d</UploadId><Initiated>2026-11-28T06:09:00Z</Initiated></Upload>`, n)
		}
		return 200, nil, fmt.Sprintf(`<ListMultipartUploadsResult><IsTruncated>%t</IsTruncated><NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>%s</NextUploadIdMarker>%s</ListMultipartUploadsResult>`, to < all, next, items.String())
	}}
}

// TestAllPages reads lists to their end, however long their pages are.
func TestAllPages(t *testing.T) {
	for page := 1; page <= 8; page++ {
		p := paged(page, false).open(t, place{"bucket", "k"}, nil)
		all, err := p.Remote(t.Context())
		if err != nil || len(all) != 7 {
			t.Fatalf("pages of %d: %d uploads, %v", page, len(all), err)
		}
		for i, r := range all {
			if r.ID != fmt.Sprintf("u%d", i+1) || r.Parts != 7 || r.Bytes != 70 {
				t.Errorf("pages of %d: %+v", page, r)
			}
		}
	}
}

// TestPagesWithoutEnd ends where a store gives the same page again.
func TestPagesWithoutEnd(t *testing.T) {
	p := paged(3, true).open(t, place{"bucket", "k"}, nil)
	if _, err := p.uploads(t.Context(), ""); !errors.Is(err, upload.ErrReply) {
		t.Errorf("uploads: %v", err)
	}
	if _, _, err := p.parts(t.Context(), data{ID: "u1", Key: "k"}); !errors.Is(err, upload.ErrReply) {
		t.Errorf("parts: %v", err)
	}
}
