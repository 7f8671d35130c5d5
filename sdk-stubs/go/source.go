package stagewire

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// ErrStopped is what Emit and Claim return once the pipeline shuts down: return it from the source
// function. What was emitted before is still confirmed.
var ErrStopped = errors.New("the pipeline is shutting down")

// Source is a source stage's view of the pipeline; it outlives connections.
type Source struct{ inner *source }

// source is the state behind Source, guarded by the worker's lock.
type source struct {
	mu         *sync.Mutex
	cond       *sync.Cond
	context    context.Context
	cancel     context.CancelFunc
	welcome    *pb.Welcome
	session    *session // nil while not attached, or while partitions are being claimed again
	partitions []*Partition
	trial      *trial // runs without a broker
	isStopped  bool
	fatal      error // ends the worker
	isDone     bool  // the author's function has returned
	result     error
}

// Partition is a part of a source with its own order and position, for example one file.
//
// Emit ids are consecutive per partition, across connections and processes:
//
//	1 ...... committed | kept[0] ........ kept[n-1] | next
//	  the broker's        sent, unconfirmed: sent again after a reconnect
type Partition struct {
	source     *source
	name       string
	checkpoint []byte
	claimedBy  *session
	next       uint64
	committed  uint64
	kept       []keptEmit
	keptBytes  int
	isFinished bool
	finishedBy *session // the session that has been told
}

type keptEmit struct {
	id      uint64
	frame   []byte
	charges []charge
}

// Context ends when the pipeline shuts down, for sources that wait for something.
func (s *Source) Context() context.Context { return s.inner.context }

// Claim makes this process the owner of a partition (1 to 255 bytes) and returns its position.
func (s *Source) Claim(partition string) (*Partition, error) {
	if len(partition) == 0 || len(partition) > maxPartition || !utf8.ValidString(partition) || strings.ContainsRune(partition, 0) {
		return nil, fmt.Errorf("partition %q: a name is 1 to %d bytes of UTF-8 without NUL", partition, maxPartition)
	}
	src := s.inner
	src.mu.Lock()
	defer src.mu.Unlock()
	p := &Partition{source: src, name: partition}
	for _, other := range src.partitions {
		if other.name == partition {
			return nil, fmt.Errorf("partition %q has been claimed already", partition)
		}
	}
	src.partitions = append(src.partitions, p)
	if src.trial != nil {
		return p, src.obstacle()
	}
	if src.session != nil {
		src.session.send(claimEnvelope(partition))
	}
	for p.claimedBy == nil {
		if err := src.obstacle(); err != nil {
			return nil, err
		}
		src.cond.Wait()
	}
	return p, nil
}

func claimEnvelope(partition string) *pb.Envelope {
	return &pb.Envelope{Message: &pb.Envelope_Claim{Claim: &pb.Claim{Partition: partition}}}
}

// Checkpoint is what the last committed Emit stated; empty: the partition is new.
func (p *Partition) Checkpoint() []byte { return p.checkpoint }

// Emit hands records to the broker together with the position after them; both are kept or neither.
// It waits while the pipeline has no room. It returns before the broker confirms; records are sent
// again if the connection breaks before.
func (p *Partition) Emit(outputs []Output, checkpoint []byte) error {
	src := p.source
	src.mu.Lock()
	defer src.mu.Unlock()
	if src.trial != nil {
		return src.trial.emit(outputs)
	}
	kept, err := p.encode(outputs, checkpoint)
	if err != nil {
		return err
	}
	for {
		if err := src.obstacle(); err != nil {
			return err
		}
		isRoom := len(p.kept) == 0 || (len(p.kept) < keptEmits && p.keptBytes+len(kept.frame) <= keptBytes)
		if isRoom && src.session != nil && src.session.fits(kept.charges) {
			break
		}
		src.cond.Wait()
	}
	p.next++
	p.kept = append(p.kept, kept)
	p.keptBytes += len(kept.frame)
	src.session.use(kept.charges)
	src.session.settler.send(kept.frame)
	return nil
}

func (p *Partition) encode(outputs []Output, checkpoint []byte) (keptEmit, error) {
	if len(checkpoint) > maxCheckpoint {
		return keptEmit{}, fmt.Errorf("partition %q: a checkpoint of %d bytes; at most %d", p.name, len(checkpoint), maxCheckpoint)
	}
	if p.isFinished {
		return keptEmit{}, fmt.Errorf("partition %q has been finished", p.name)
	}
	emitter := newEmitter(p.source.welcome, 3)
	for i := range outputs {
		emitter.Emit(outputs[i])
	}
	if failure := emitter.check(); failure != nil {
		return keptEmit{}, fmt.Errorf("partition %q: %s; emit less at once", p.name, failure.message)
	}
	buffer := make([]byte, frameHeadroom, frameHeadroom+len(p.name)+len(checkpoint)+len(emitter.body)+32)
	buffer = appendBytes(buffer, 1, p.name)
	buffer = appendUint(buffer, 2, p.next)
	buffer = append(buffer, emitter.body...)
	if len(checkpoint) > 0 {
		buffer = protowire.AppendTag(buffer, 4, protowire.BytesType)
		buffer = protowire.AppendBytes(buffer, checkpoint)
	}
	if uint64(len(buffer)) > p.source.welcome.MaxFrame {
		return keptEmit{}, fmt.Errorf("partition %q: an Emit of %d bytes; a frame holds %d; emit less at once", p.name, len(buffer), p.source.welcome.MaxFrame)
	}
	return keptEmit{id: p.next, frame: closeFrame(buffer, envelopeEmit), charges: emitter.charges}, nil
}

// Finish says that the partition has no more records, once everything emitted is confirmed. Returning
// nil from the source function finishes all partitions.
func (p *Partition) Finish() error {
	src := p.source
	src.mu.Lock()
	defer src.mu.Unlock()
	for len(p.kept) > 0 { // never in a trial
		if err := src.obstacle(); err != nil {
			return err
		}
		src.cond.Wait()
	}
	p.isFinished = true
	p.tellFinished()
	return nil
}

// tellFinished sends Finished once per session.
func (p *Partition) tellFinished() {
	s := p.source.session
	if s == nil || p.finishedBy == s || !p.isFinished || len(p.kept) > 0 {
		return
	}
	p.finishedBy = s
	s.send(&pb.Envelope{Message: &pb.Envelope_Finished{Finished: &pb.Finished{Partition: p.name}}})
}

// obstacle is why no more can be emitted.
func (src *source) obstacle() error {
	if src.fatal != nil {
		return src.fatal
	}
	if src.isStopped {
		return ErrStopped
	}
	return nil
}

func (src *source) stop() {
	src.isStopped = true
	src.cancel()
}

func (src *source) fail(format string, arguments ...any) {
	if src.fatal == nil {
		src.fatal = fmt.Errorf(format, arguments...)
		src.cancel()
	}
}

func (src *source) find(name string) *Partition {
	if src != nil {
		for _, p := range src.partitions {
			if p.name == name {
				return p
			}
		}
	}
	return nil
}

// claimed takes over the broker's position. Called with the lock held.
func (src *source) claimed(s *session, claimed *pb.Claimed) {
	p := src.find(claimed.Partition)
	if p == nil {
		return
	}
	last := claimed.LastEmitId
	switch {
	case p.next == 0:
		p.next, p.committed, p.checkpoint = last+1, last, claimed.Checkpoint
	case last < p.committed || last >= p.next:
		src.fail("partition %q: the broker stands at emit id %d, this process between %d and %d; start the source again, it resumes at the broker's checkpoint",
			p.name, last, p.committed, p.next-1)
	default:
		p.confirm(last)
	}
	p.claimedBy = s
}

// committed drops what is confirmed. Called with the lock held.
func (src *source) committed(committed *pb.Committed) {
	p := src.find(committed.Partition)
	if p == nil {
		return
	}
	for _, refusal := range committed.Refused {
		src.fail("partition %q: the broker refused emit %d: %s [%s]", p.name, refusal.Id,
			refusal.GetError().GetMessage(), Code(refusal.GetError().GetCode()))
	}
	p.confirm(committed.Through)
}

func (p *Partition) confirm(through uint64) {
	n := 0
	for n < len(p.kept) && p.kept[n].id <= through {
		p.keptBytes -= len(p.kept[n].frame)
		n++
	}
	p.kept = p.kept[n:]
	if through > p.committed {
		p.committed = through
	}
}

// attach claims all partitions on a new session and sends again what was not confirmed. It holds the
// lock, except while waiting.
func (src *source) attach(s *session) {
	src.mu.Lock()
	defer src.mu.Unlock()
	// The list may grow while we wait: Claim adds to it.
	for i := 0; i < len(src.partitions); i++ {
		p := src.partitions[i]
		s.send(claimEnvelope(p.name))
		for p.claimedBy != s && s.ended == nil {
			src.cond.Wait()
		}
		// A copy: while we wait for credit, a Committed shortens p.kept.
		for _, kept := range append([]keptEmit(nil), p.kept...) {
			for s.ended == nil && src.fatal == nil && !s.fits(kept.charges) {
				src.cond.Wait()
			}
			if s.ended != nil || src.fatal != nil {
				return
			}
			s.use(kept.charges)
			s.settler.send(kept.frame)
		}
	}
	if s.ended == nil {
		src.session = s
		src.cond.Broadcast()
	}
}

// claimOwn: an instance that found no work claims a partition of its own name, so that the broker can
// count it among those that have finished (SO-7).
func (src *source) claimOwn(handle *Source) error {
	src.mu.Lock()
	isIdle, name := len(src.partitions) == 0, src.welcome.Instance
	src.mu.Unlock()
	if !isIdle || name == "" {
		return nil
	}
	_, err := handle.Claim(name)
	return err
}

// isDrained says whether everything emitted is confirmed.
func (src *source) isDrained() bool {
	for _, p := range src.partitions {
		if len(p.kept) > 0 {
			return false
		}
	}
	return true
}
