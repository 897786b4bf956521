package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/multiput/multiput/pkg/internal/realstore"
)

var s3Stores = map[string]func(testing.TB) realstore.Server{"minio": realstore.MinIO, "versitygw": realstore.VersityGW}

// noKeys are no credentials; otherAccount are those of another account.
var (
	noKeys       = []string{"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_REGION=", "AWS_ENDPOINT_URL_S3="}
	otherAccount = []string{"AWS_ACCESS_KEY_ID=another", "AWS_SECRET_ACCESS_KEY=else", "AWS_REGION=eu-north-1", "AWS_ENDPOINT_URL_S3="}
)

// s3Chain is a chain whose senders have no credentials.
func s3Chain(t *testing.T, server realstore.Server, parts int64, planArgs ...string) *chain {
	t.Helper()
	r := onS3(t, server)
	file, key := r.file(t, parts*realPart-1000), filepath.Base(r.dir)+"/"+strings.ReplaceAll(t.Name(), "/", "-")
	return &chain{
		rig: r, file: file, plan: filepath.Join(r.dir, "big.plan"), sender: append(slices.Clone(noKeys), "AWS_PROFILE=none-such"),
		args: append([]string{"-p", "s3://" + server.Bucket + "/" + key, "--part-size", "5MiB"}, planArgs...),
		same: func(t *testing.T) {
			t.Helper()
			body, _ := s3Object(t, server, key)
			if want, err := os.ReadFile(file); err != nil || !bytes.Equal(body, want) {
				t.Errorf("the object is not the file (%v)", err)
			}
		},
	}
}

// s3Plans are the kinds of plans of S3.
var s3Plans = map[string][]string{
	"plain": nil, "checksums": {"--part-checksums"}, "crc32c": {"--part-checksums", "--set", "checksum=crc32c"},
	"self-contained": {"--self-contained", "--part-checksums"}, "self-contained-plain": {"--self-contained"},
}

// TestS3Handoff shares uploads to a bucket: the senders have no credentials, or
// those of another account, and where the plan is self-contained no other machine has any
// either. Nothing but the file's parts can be stored by a plan with checksums.
func TestS3Handoff(t *testing.T) {
	t.Parallel()
	known := schemas(t)
	for name, start := range s3Stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			for kind, args := range s3Plans {
				t.Run(kind, func(t *testing.T) {
					t.Parallel()
					c := s3Chain(t, server, 3, args...)
					c.planned(t, "")
					c.run(t, "", "put", c.plan, c.file, "--shard", "1/2", "-o", c.receipts("1"))
					c.sender = otherAccount
					c.run(t, "", "put", c.plan, c.file, "--shard", "2/2", "-o", c.receipts("2"))
					env := noKeys
					if !strings.Contains(kind, "self-contained") {
						if _, code := c.multiput(t, noKeys, "complete", c.plan, c.receipts("1"), c.receipts("2")); code != exitDenied {
							t.Errorf("complete without credentials: exit code %d, want %d", code, exitDenied)
						}
						env = nil
					}
					out, code := c.multiput(t, env, "complete", c.plan, c.receipts("1"), c.receipts("2"), "--checksum", "require", "--json")
					var result struct{ Result, Verification string }
					want := map[string]string{"checksums": "crc64nvme", "crc32c": "crc32c", "self-contained": "crc64nvme"}[kind]
					if want == "" {
						want = "etag"
					}
					if err := json.Unmarshal([]byte(out), &result); code != 0 || err != nil || result.Verification != want || !strings.HasPrefix(result.Result, "s3://"+server.Bucket+"/") {
						t.Fatalf("complete: exit code %d, %s; want the verification %s", code, out, want)
					}
					c.same(t)
					for path, s := range map[string]*jsonschema.Schema{c.plan: known["plan.json"], c.receipts("1"): known["receipt.json"]} {
						b, err := os.ReadFile(path)
						if err != nil {
							t.Fatal(err)
						}
						valid(t, s, string(b))
						if bytes.Contains(b, []byte(server.SecretKey)) {
							t.Errorf("%s has the secret key", path)
						}
					}
				})
			}
		})
	}
}

// TestS3PlanAgainOtherwise plans again with other flags: the upload stays as it is, as
// others may be sending it, and the user is told.
func TestS3PlanAgainOtherwise(t *testing.T) {
	t.Parallel()
	c := s3Chain(t, realstore.MinIO(t), 2)
	args := append([]string{"plan", c.file, "-o", c.plan}, c.args...)
	for _, step := range []struct {
		more []string
		told string
	}{
		{nil, ""}, {[]string{"--part-checksums"}, "planned without --part-checksums before"}, {[]string{"--part-size", "6MiB"}, "planned with a part size of 5242880 bytes, which it keeps"},
		{[]string{"--part-checksums", "--restart"}, ""}, {[]string{"--part-checksums"}, ""},
	} {
		_, said, code := c.said(t, append(slices.Clone(args), step.more...)...)
		if code != 0 || step.told == "" && strings.Contains(said, "planned with") || !strings.Contains(said, step.told) {
			t.Errorf("%v: exit code %d, %s", step.more, code, said)
		}
	}
}

// TestS3UploadOfAPlannedFile uploads a file that others have sent a half of.
func TestS3UploadOfAPlannedFile(t *testing.T) {
	t.Parallel()
	for name, start := range s3Stores {
		for kind, args := range map[string][]string{"plain": nil, "checksums": s3Plans["checksums"]} {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				c := s3Chain(t, start(t), 4, args...)
				c.planned(t, "")
				c.run(t, "", "put", c.plan, c.file, "--shard", "2/2", "-o", c.receipts("2"))
				up := slices.DeleteFunc(slices.Clone(c.args), func(arg string) bool { return arg == "--part-checksums" })
				out, code := c.multiput(t, nil, append([]string{"upload", c.file, "--checksum", "require", "--jq", "[.parts, .parts_reused] | tostring"}, up...)...)
				if code != 0 || strings.TrimSpace(out) != "[4,2]" {
					t.Errorf("exit code %d, %s", code, out)
				}
				c.same(t)
			})
		}
	}
}

// TestS3PlanOfALostUpload plans an upload again that the bucket no longer has. URLs
// are signed without a request, so that only asking tells.
func TestS3PlanOfALostUpload(t *testing.T) {
	t.Parallel()
	for name, start := range s3Stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := s3Chain(t, start(t), 2)
			c.planned(t, "")
			if out, code := c.multiput(t, nil, "abort", "--plan", c.plan, "--journal", filepath.Join(c.dir, "other")); code != 0 {
				t.Fatalf("abort: exit code %d: %s", code, out)
			}
			if _, code := c.multiput(t, nil, "plan", "--renew", c.plan); code != exitFailed {
				t.Errorf("plan --renew: exit code %d, want %d", code, exitFailed)
			}
			c.planned(t, "")
			c.run(t, "", "put", c.plan, c.file, "--shard", "1/1", "-o", c.receipts("1"))
			if _, code := c.multiput(t, nil, "complete", c.plan, c.receipts("1")); code != 0 {
				t.Fatalf("complete: exit code %d", code)
			}
			c.same(t)
		})
	}
}

// TestS3HandoffOtherBytes puts a file of the planned size and modification time that
// has other bytes: the store refuses them each time, so that no try is worth another.
func TestS3HandoffOtherBytes(t *testing.T) {
	t.Parallel()
	for name, start := range s3Stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := s3Chain(t, start(t), 2, s3Plans["checksums"]...)
			c.planned(t, "")
			info, err := os.Stat(c.file)
			if err != nil {
				t.Fatal(err)
			}
			body, err := os.ReadFile(c.file)
			if err != nil {
				t.Fatal(err)
			}
			body[len(body)-7]++
			if err := errors.Join(os.WriteFile(c.file, body, 0o600), os.Chtimes(c.file, info.ModTime(), info.ModTime())); err != nil {
				t.Fatal(err)
			}
			put := exec.CommandContext(t.Context(), "multiput", "put", c.plan, c.file, "-o", c.receipts("1"))
			put.Env = append(slices.Clone(c.env), c.sender...)
			out, err := put.CombinedOutput()
			if code := put.ProcessState.ExitCode(); code != exitData || !bytes.Contains(out, []byte("part 2 has other bytes than were planned")) {
				t.Errorf("put: exit code %d, want %d (%v): %s", code, exitData, err, out)
			}
		})
	}
}

// TestS3HandoffKill kills each step at every write to the journal.
func TestS3HandoffKill(t *testing.T) {
	t.Parallel()
	for name, start := range s3Stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			killHandoff(t, func(t *testing.T) *chain { t.Helper(); return s3Chain(t, server, 2, s3Plans["checksums"]...) })
		})
	}
}

// TestS3HandoffPartition is TestAnyPartition on a store.
func TestS3HandoffPartition(t *testing.T) {
	t.Parallel()
	server := realstore.MinIO(t)
	for round := range 4 {
		for kind, args := range s3Plans {
			t.Run(fmt.Sprintf("%s/%d", kind, round), func(t *testing.T) {
				t.Parallel()
				c := s3Chain(t, server, 3, args...)
				c.planned(t, "")
				anyPartition(t, c, rand.New(rand.NewPCG(uint64(round), uint64(len(kind)))))
			})
		}
	}
}

// TestS3HandoffAbort aborts by a self-contained plan, without credentials.
func TestS3HandoffAbort(t *testing.T) {
	t.Parallel()
	server := realstore.MinIO(t)
	c := s3Chain(t, server, 2, "--self-contained")
	c.planned(t, "")
	c.run(t, "", "put", c.plan, c.file, "--shard", "1/2", "-o", c.receipts("1"))
	list := []string{"list", "--remote", "-p", "s3://" + server.Bucket, "--jq", ".uploads | length"}
	if out, code := c.multiput(t, nil, list...); code != 0 || strings.TrimSpace(out) != "1" {
		t.Fatalf("the store has %q unfinished uploads, want 1 (exit code %d)", out, code)
	}
	for range 2 {
		if _, code := c.multiput(t, noKeys, "abort", "--plan", c.plan); code != 0 {
			t.Errorf("abort: exit code %d", code)
		}
	}
	if out, code := c.multiput(t, nil, list...); code != 0 || strings.TrimSpace(out) != "0" {
		t.Errorf("after abort the store has %q unfinished uploads (exit code %d)", out, code)
	}
	if _, code := c.multiput(t, noKeys, "put", c.plan, c.file, "--shard", "2/2", "-o", c.receipts("2")); code == 0 {
		t.Error("put sends to an upload that was aborted")
	}
	c.planned(t, "")
	c.run(t, "", "put", c.plan, c.file, "-o", c.receipts("all"))
	c.run(t, "", "complete", c.plan, c.receipts("all"))
	c.same(t)
}

// TestRecipeSelfContained runs the recipe whose sender completes the upload.
func TestRecipeSelfContained(t *testing.T) {
	t.Parallel()
	server := realstore.MinIO(t)
	c := s3Chain(t, server, 2)
	steps := handoffRecipe(t, "Hand over everything")
	if len(steps) != 2 {
		t.Fatalf("the recipe has %d steps, want 2", len(steps))
	}
	sender := t.TempDir()
	if err := os.Rename(c.file, filepath.Join(c.dir, "big.bin")); err != nil {
		t.Fatal(err)
	}
	c.sh(t, c.dir, steps[0]+`cp big.plan big.bin "$TO" && touch -d 2001-01-01 "$TO/big.bin"`, "TO="+sender, "MULTIPUT_PROVIDER="+c.args[1])
	out := c.sh(t, sender, steps[1], append(slices.Clone(noKeys), "HOME="+sender, "XDG_STATE_HOME="+sender)...)
	if want := c.args[1] + "\n"; out != want {
		t.Errorf("stdout is %q, want %q", out, want)
	}
	c.file = filepath.Join(c.dir, "big.bin")
	body, _ := s3Object(t, server, strings.TrimPrefix(c.args[1], "s3://"+server.Bucket+"/"))
	if want, err := os.ReadFile(c.file); err != nil || !bytes.Equal(body, want) {
		t.Errorf("the object is not the file (%v)", err)
	}
}
