package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// within bounds the search for credentials, imdsWithin a request to the address of a
// machine's role, which does not answer where there is none.
const (
	within     = 20 * time.Second
	imdsWithin = 2 * time.Second
)

// looked is where credentials are looked for.
const looked = "looked in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the profile of ~/.aws/credentials and ~/.aws/config (SSO, roles, credential_process), " +
	"AWS_WEB_IDENTITY_TOKEN_FILE, the container's credentials and the machine's role (IMDS)"

// machine asks for the machine's role, for a short time: the SDK's own patience is
// one for machines that have a role.
type machine struct{ client atomic.Pointer[imds.Client] }

func (m *machine) GetMetadata(ctx context.Context, in *imds.GetMetadataInput, with ...func(*imds.Options)) (*imds.GetMetadataOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, imdsWithin)
	defer cancel()
	return m.client.Load().GetMetadata(ctx, in, with...)
}

// noKeys says why there are no credentials. What is not clear for good is an error
// that is temporary: a service that gives credentials cannot be reached.
func noKeys(err error) error {
	var operation *smithy.OperationError
	fromMachine := errors.As(err, &operation) && operation.Service() == "ec2imds"
	var sent *smithyhttp.RequestSendError
	var answered interface{ HTTPStatusCode() int } // STS, SSO, the container's credentials
	var process *processcreds.ProviderError
	down := errors.As(err, &sent) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &answered) && (answered.HTTPStatusCode() >= http.StatusInternalServerError || answered.HTTPStatusCode() == http.StatusTooManyRequests)
	if down && !fromMachine && !errors.As(err, &process) {
		return &unavailable{fmt.Errorf("%s: cannot get the AWS credentials now%s", title, because(err, false))}
	}
	return fmt.Errorf("%s: %w: no AWS credentials%s (%s)", title, upload.ErrDenied, because(err, fromMachine), looked)
}

// because is the reason in words, after a colon; empty: they are nowhere.
func because(err error, fromMachine bool) string {
	var session *ssocreds.InvalidTokenError
	var process *processcreds.ProviderError
	said := words(err)
	switch {
	case err == nil, fromMachine && strings.Contains(said, "AWS_EC2_METADATA_DISABLED"):
		return ""
	case errors.Is(err, context.DeadlineExceeded) && !fromMachine:
		return fmt.Sprintf(": there was no answer within %s", within)
	case errors.Is(err, context.DeadlineExceeded):
		return ": the machine's role (IMDS) does not answer"
	case fromMachine:
		return ": the machine's role (IMDS): " + said
	case errors.As(err, &session), strings.Contains(said, "SSO token"):
		return ": there is no SSO session, or it has expired: log in with \"aws sso login\""
	case errors.As(err, &process) && strings.Contains(said, "parse failed"): // it has what the process wrote
		return ": the output of credential_process is not the expected JSON"
	}
	return ": " + said
}

// words is an error of the SDK without what it says of itself.
func words(err error) string {
	if err == nil {
		return ""
	}
	var sent *smithyhttp.RequestSendError
	var operation *smithy.OperationError
	said := err.Error()
	switch {
	case errors.As(err, &sent) && errors.As(err, &operation):
		said = operation.Service() + ": " + sent.Err.Error()
	case errors.As(err, &operation):
		said = operation.Service() + ": " + operation.Err.Error()
	}
	for _, noise := range []string{"failed to refresh cached credentials, ", "process provider error: "} {
		said = strings.TrimPrefix(said, noise)
	}
	return transport.Clean(said)
}

// expiredKeys are credentials whose time is over by this machine's clock, and which
// were not renewed.
func expiredKeys(c aws.Credentials) error {
	return fmt.Errorf("%s: %w: the AWS credentials expired at %s (from %s)", title, upload.ErrDenied, c.Expires.Local().Format(time.DateTime), cmp.Or(c.Source, "the AWS configuration"))
}

// unavailable is a search for credentials that may go better later.
type unavailable struct{ error }

func (e *unavailable) Unwrap() error             { return e.error }
func (e *unavailable) Temporary() bool           { return true }
func (e *unavailable) RetryAfter() time.Duration { return 0 }
