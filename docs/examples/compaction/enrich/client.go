package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"stagewire.dev/examples/compaction/event"
)

// Codes of this stage; people see them at retries and dead letters.
const (
	notAGroup   = 1001
	noAnswer    = 1002 // the service was not reached, or did not answer in time
	notNow      = 1003 // it answered that it cannot
	notAnAnswer = 1004 // what it answered makes no sense
	notKnown    = 1005 // it does not take the request, and would not take it another time
)

// maxAnswer bounds what is read of an answer, bytes.
const maxAnswer = 64 * 1024

// client asks the service. Its exported fields are the stage's configuration. It may be used by several goroutines.
type client struct {
	URL     string
	Timeout int `json:"timeout_ms"` // of one request, milliseconds

	once sync.Once
	http *http.Client
}

// failure is a request without a result. isFinal: it would not have one another time either.
type failure struct {
	code    uint32
	message string
	isFinal bool
}

func (f *failure) Error() string { return f.message }

// Validate is called by the SDK.
func (c *client) Validate() error {
	if other := os.Getenv("ENRICH_URL"); other != "" {
		c.URL = other
	}
	switch {
	case c.URL == "":
		return errors.New("`url` is missing: where the service is")
	case c.Timeout < 1 || c.Timeout > 60_000:
		return fmt.Errorf("`timeout_ms` is %d, not 1 to 60000", c.Timeout)
	}
	return nil
}

func (c *client) setUp() {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = requests // two by default: the others would connect anew for each request
	c.http = &http.Client{Timeout: time.Duration(c.Timeout) * time.Millisecond, Transport: transport}
}

// details asks for what is known of an entity. `request` tells the service when it is asked the same once more. Errors are
// of type *failure, or the context's when that has ended: then the service is not to blame.
func (c *client) details(ctx context.Context, entity, request string) (details event.Details, err error) {
	c.once.Do(c.setUp)
	question, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+"/entities/"+url.PathEscape(entity), nil)
	if err != nil {
		return details, &failure{notKnown, err.Error(), true}
	}
	question.Header.Set("X-Request-Id", request)
	answer, err := c.http.Do(question)
	if err != nil {
		return details, unanswered(ctx, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer)) // to the end, or the connection cannot be used again
	if err != nil {
		return details, unanswered(ctx, err)
	}
	if refused := judge(answer.StatusCode); refused != nil {
		return details, refused
	}
	if err := json.Unmarshal(body, &details); err != nil || details.Site == "" {
		return details, &failure{notAnAnswer, fmt.Sprintf("the service answered %.100q", body), false}
	}
	return details, nil
}

// unanswered is why there is no answer.
func unanswered(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var request *url.Error
	if errors.As(err, &request) {
		if request.Timeout() {
			return &failure{noAnswer, "the service did not answer in time", false}
		}
		err = request.Err // without the address, which is the same each time
	}
	return &failure{noAnswer, "the service did not answer: " + err.Error(), false}
}

// judge is what a status means; nil: there is an answer.
func judge(status int) error {
	refused := &failure{notKnown, fmt.Sprintf("the service answered %d", status), true}
	switch {
	case status == http.StatusOK:
		return nil
	case status >= 500, status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests:
		refused.code, refused.isFinal = notNow, false
	}
	return refused
}
