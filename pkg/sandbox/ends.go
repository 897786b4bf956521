package sandbox

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"net/http"
)

// fingerprint tells two requests to complete apart.
func fingerprint(asked ...any) string {
	sum := sha256.Sum256(toJSON(asked))
	return hex.EncodeToString(sum[:])
}

// again answers the complete of a completed upload: as the first time if the
// same is asked. That is the sandbox's choice; what the real APIs do is not
// documented. The fault once makes it gone.
func (c *call) again(u *upload, asked string, gone reply, other func() reply) reply {
	if f := c.s.Faults.takePassive(kindOnce, StepComplete, 0); f != nil {
		c.fault = f
		return gone
	}
	if u.Asked != asked {
		return other()
	}
	status := http.StatusOK
	if c.s.API == "fileai" {
		status = http.StatusCreated
	}
	return reply{status: status, body: u.Answer, note: "it was completed before"}
}

// completed remembers the end of an upload before it is told.
func (s *Server) completed(c *call, u *upload, asked string, o *Object, verified bool, trouble func(error) reply, status int, answer any) reply {
	if s.disk != nil {
		o.Location = objectURL(c.base, o.Key)
	}
	u.State, u.Asked, u.Object, u.Verified = stateCompleted, asked, o, verified
	u.Answer = toJSON(answer)
	if err := s.save(u); err != nil {
		return trouble(err)
	}
	return reply{status: status, body: u.Answer}
}

// crcCheck computes the CRC32C of an object. Nil wants nothing.
type crcCheck struct {
	want []byte // big-endian
	sum  uint32
}

func (k *crcCheck) Write(p []byte) (int, error) {
	k.sum = crc32.Update(k.sum, castagnoli, p)
	return len(p), nil
}

func (k *crcCheck) Check() error {
	if k.want != nil && k.sum != binary.BigEndian.Uint32(k.want) {
		return errDigest
	}
	return nil
}

// abort aborts an upload. One that the store has lost is not an error.
func (s *Server) abort(c *call, u *upload) error {
	var refused *StoreError
	if err := s.Store.Abort(c.r.Context(), u.Ref); err != nil && !errors.As(err, &refused) {
		return err
	}
	u.State = stateAborted
	return s.save(u)
}

var errDigest = errors.New("the digest of the object is another")
