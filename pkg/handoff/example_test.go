package handoff_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/multiput/multiput/pkg/handoff"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/sandbox"
	"github.com/multiput/multiput/pkg/upload"
)

// secret is a key; where it comes from is the program's to decide.
type secret string

func (s secret) Reveal() string { return string(s) }

// One machine plans an upload and completes it, two others send its parts. The files
// between them are the plan and the receipts.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := share(context.Background(), dir); err != nil {
		fmt.Println(err)
	}
	// Output:
	// shard 1/2: 2 receipts
	// without shard 2/2: there are no receipts of parts 3-5 (shard 2/2)
	// shard 2/2: 3 receipts
	// 5 parts, verified by crc32c
}

func share(ctx context.Context, dir string) error {
	file, planFile := filepath.Join(dir, "big.bin"), filepath.Join(dir, "big.plan")
	if err := os.WriteFile(file, make([]byte, 300_000), 0o600); err != nil {
		return err
	}
	// The API is a sandbox; leave Base out for the real one.
	s := &sandbox.Server{API: "archetype", Dir: filepath.Join(dir, "sandbox"), Key: "my-key", PartSize: 64 << 10}
	base, stop, err := s.Start(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer stop() //nolint:errcheck // the example ends
	open := func(keys ...provider.Secret) (*upload.Uploader, error) {
		d, err := provider.Load("archetype")
		if err != nil {
			return nil, err
		}
		p, err := d.Open(provider.Settings{Base: base, Keys: keys, Keyless: true})
		if err != nil {
			return nil, err
		}
		return &upload.Uploader{Provider: p, Target: p.Target(), Shared: true}, nil
	}

	planner, err := open(secret("my-key"))
	if err != nil {
		return err
	}
	begun, err := planner.Plan(ctx, upload.File{Path: file})
	if err != nil {
		return err
	}
	shared, err := planner.Share(ctx, begun, false)
	if err == nil {
		var b []byte
		if b, err = handoff.New(begun.Target, shared).Encode(); err == nil {
			err = handoff.Write(planFile, b)
		}
	}
	if err = errors.Join(err, begun.Close()); err != nil {
		return err
	}

	// What follows needs no key, and may be on another machine.
	send := func(shard handoff.Shard) ([]byte, error) {
		plan, err := handoff.Load(planFile)
		if err != nil {
			return nil, err
		}
		sender, err := open(nil)
		if err != nil {
			return nil, err
		}
		its := plan.Share(file, plan.Shard(shard))
		its.Name = shard.String()
		joined, err := sender.Join(ctx, its)
		if err != nil {
			return nil, err
		}
		defer joined.Close()
		rs, err := sender.Send(ctx, joined, its.Parts)
		if err != nil {
			return nil, err
		}
		fmt.Printf("shard %s: %d receipts\n", shard, len(rs))
		return handoff.EncodeReceipts(plan.ID, shard, rs)
	}

	plan, err := handoff.Load(planFile)
	if err != nil {
		return err
	}
	receipts := plan.Receipts()
	for i := range 2 {
		b, err := send(handoff.Shard{Index: i + 1, Of: 2})
		if err == nil {
			err = receipts.Add(fmt.Sprintf("%d.receipts", i+1), b)
		}
		if err != nil {
			return err
		}
		var missing *handoff.MissingError
		if _, err := receipts.All(nil); errors.As(err, &missing) {
			fmt.Println("without shard 2/2:", missing)
		}
	}

	joined, err := planner.Join(ctx, plan.Share(file, nil))
	if err != nil {
		return err
	}
	defer joined.Close()
	rs, err := receipts.All(joined.Stored())
	if err != nil {
		return err
	}
	report, err := planner.Finish(ctx, joined, rs)
	if err != nil {
		return err
	}
	fmt.Printf("%d parts, verified by %s\n", report.Parts, report.Verification)
	return nil
}

// A plan of five parts in shards of neighboring parts: every part is in one, and with
// more shards than parts some have none.
func ExamplePlan_Shard() {
	plan := &handoff.Plan{File: handoff.File{Size: 5}}
	for i := range 5 {
		plan.Parts = append(plan.Parts, handoff.Part{Number: i + 1, Offset: int64(i), Size: 1})
	}
	for _, text := range []string{"1/2", "2/2", "3/8"} {
		shard, err := handoff.ParseShard(text)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Print(shard, ":")
		for _, part := range plan.Shard(shard) {
			fmt.Print(" ", part.Number)
		}
		fmt.Println()
	}
	_, err := handoff.ParseShard("5/4")
	fmt.Println(err)
	// Output:
	// 1/2: 1 2
	// 2/2: 3 4 5
	// 3/8:
	// "5/4" is not I/N, a shard from 1/N to N/N
}
