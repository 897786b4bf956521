package sandbox_test

import (
	"bytes"
	"net/url"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/internal/realstore"
	"github.com/multiput/multiput/pkg/internal/s3store"
	"github.com/multiput/multiput/pkg/sandbox"
)

// realPart is the least that S3 takes.
const realPart = 5 << 20

// runReal puts a real S3 server behind a sandbox.
func runReal(t *testing.T, server realstore.Server, s *sandbox.Server, faults ...string) (*rig, *s3store.Store) {
	t.Helper()
	store, err := s3store.Open(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	s.Store, s.PartSize = store, realPart
	return run(t, s, faults...), store
}

// The walks that the sandbox's own store passes, real stores pass too: so what
// the APIs are given there is what a store does.
func TestRealStores(t *testing.T) {
	for name, start := range map[string]func(testing.TB) realstore.Server{"MinIO": realstore.MinIO, "versitygw": realstore.VersityGW} {
		t.Run(name, func(t *testing.T) {
			server := start(t)
			count := 0
			for _, api := range sandbox.APIs() {
				for _, size := range []int{0, 1, 2*realPart + 7} {
					r, store := runReal(t, server, &sandbox.Server{API: api})
					file := bytesOf(size)
					switch api {
					case "archetype":
						walkArchetype(r, file)
					case "fileai":
						walkFileAI(r, file)
					case "openai":
						walkOpenAI(r, file, realPart)
					case "upscayl":
						walkUpscayl(r, file)
					}
					list, err := r.s.Finished()
					if err != nil || len(list) != 1 {
						t.Fatalf("%s: finished: %v %v", api, list, err)
					}
					got, err := store.Object(t.Context(), list[0].Key)
					if err != nil || !bytes.Equal(got, file) || list[0].Size != int64(size) {
						t.Errorf("%s: the object is not the file: %v", api, err)
					}
					count++
				}
			}
			store, err := s3store.Open(t.Context(), server)
			if err != nil {
				t.Fatal(err)
			}
			if objects, err := store.Objects(t.Context()); err != nil || len(objects) != count {
				t.Errorf("%d objects, %v, want %d", len(objects), err, count)
			}
		})
	}
}

func TestMinIORefuses(t *testing.T) {
	server := realstore.MinIO(t)
	r, _ := runReal(t, server, &sandbox.Server{API: "archetype"})
	file := bytesOf(realPart + 7)
	plan := r.open(len(file))
	link := plan.text("parts", 1, "url")
	refused(t, 403, "SignatureDoesNotMatch", strings.Replace(link, "partNumber=2", "partNumber=1", 1), file[realPart:])
	refused(t, 400, "BadDigest", link, file[realPart:], "Content-MD5", "kAFQmDzST7DWlj99KOF/cg==")
	tokens := archetypePut(t, plan, file)
	base := "/files/uploads/" + plan.text("upload_id")
	if a := r.post(400, base+"/parts/checkpoint", completion([]token{{1, tokens[1].Token}}, "")); a.text("errors", 0, "code") != "invalid_part" {
		t.Error(a.raw)
	}
	if a := r.post(400, base+"/complete", completion([]token{tokens[0], {2, tokens[0].Token}}, "")); a.text("errors", 0, "code") != "invalid_part" {
		t.Error(a.raw)
	}
	put(t, link, []byte("short"))
	if a := r.post(400, base+"/complete", completion([]token{tokens[0], {2, quotedMD5([]byte("short"))}}, "")); !strings.Contains(a.raw, "5 bytes and should have 7") {
		t.Error(a.raw)
	}
	put(t, link, file[realPart:])
	if a := r.post(400, base+"/complete", completion(tokens, "AAAAAA==")); a.text("errors", 0, "code") != "integrity_mismatch" {
		t.Error(a.raw)
	}
	refused(t, 404, "NoSuchUpload", link, file[realPart:])
	other := r.open(3)
	r.post(200, "/files/uploads/"+other.text("upload_id")+"/abort", "")
	refused(t, 404, "NoSuchUpload", other.text("parts", 0, "url"), []byte("abc"))
}

// With an address of its own for the store, the sandbox sees what a real store
// gets, and faults happen to it.
func TestRealStoreBehindTheSandbox(t *testing.T) {
	server := realstore.MinIO(t)
	r, store := runReal(t, server, &sandbox.Server{API: "archetype", StoreListen: "127.0.0.1:0"},
		"put:status=503", "put:lost-reply", "put:reset=1000", "put:wrong-etag", "put:corrupt", "put:no-etag")
	file := bytesOf(realPart + 7)
	plan := r.open(len(file))
	link, err := url.Parse(plan.text("parts", 0, "url"))
	if err != nil || "http://"+link.Host == server.Endpoint {
		t.Fatalf("the URL is for the store itself: %s, %v", link, err)
	}
	refused(t, 503, "SlowDown", link.String(), file[:realPart])
	for range 2 {
		if _, err := tryPut(t, link.String(), file[:realPart]); !isReset(err) {
			t.Error(err)
		}
	}
	for _, kind := range []string{"wrong-etag", "corrupt", "no-etag"} {
		if got := put(t, link.String(), file[:realPart]); got == quotedMD5(file[:realPart]) {
			t.Errorf("%s: the ETag is right", kind)
		}
	}
	refused(t, 403, "SignatureDoesNotMatch", link.String()+"0", file[:realPart])
	tokens := archetypePut(t, plan, file)
	r.post(200, "/files/uploads/"+plan.text("upload_id")+"/complete", completion(tokens, crc32c(file)))
	list, _ := r.s.Finished()
	if got, err := store.Object(t.Context(), list[0].Key); err != nil || !bytes.Equal(got, file) {
		t.Errorf("the object is not the file: %v", err)
	}
	if one, two := r.s.Puts(1), r.s.Puts(2); one != 5 || two != 1 {
		t.Errorf("part 1 was stored %d times, part 2 %d times", one, two)
	}
	for _, q := range r.s.Requests() {
		if q.Step == sandbox.StepPut && q.Upload != plan.text("upload_id") {
			t.Errorf("a put of upload %q", q.Upload)
		}
	}
}
