package s3

import (
	"context"
	"fmt"

	"github.com/multiput/multiput/pkg/upload"
)

func (p *Provider) takeOver(_ context.Context, u upload.Upload, _ data) (upload.Upload, []upload.Presigned, error) {
	return u, nil, &unsent{fmt.Errorf("%s: %w: resume is not there yet", title, upload.ErrRefused)}
}
