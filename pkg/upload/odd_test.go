package upload_test

import (
	"context"
	"fmt"

	"github.com/multiput/multiput/pkg/upload"
)

// misplanned leaves a byte out.
type misplanned struct{ *cloud }

func (m misplanned) Create(ctx context.Context, f upload.File, w upload.Hint) (upload.Upload, []upload.Presigned, error) {
	u, gs, err := m.cloud.Create(ctx, f, w)
	u.Parts[len(u.Parts)-1].Size--
	return u, gs, err
}

// halfCreated opens an upload and cannot use the answer.
type halfCreated struct{ *cloud }

func (h halfCreated) Create(ctx context.Context, f upload.File, w upload.Hint) (upload.Upload, []upload.Presigned, error) {
	u, _, _ := h.cloud.Create(ctx, f, w)
	return u, nil, fmt.Errorf("the answer has no parts: %w", upload.ErrReply)
}

// unsigned forgets the presigned of its last part.
type unsigned struct{ *cloud }

func (u unsigned) Create(ctx context.Context, f upload.File, w upload.Hint) (upload.Upload, []upload.Presigned, error) {
	up, gs, err := u.cloud.Create(ctx, f, w)
	return up, gs[:len(gs)-1], err
}
