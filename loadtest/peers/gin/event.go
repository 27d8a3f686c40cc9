package main

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin/binding"
	"github.com/go-playground/validator/v10"
	"github.com/google/uuid"
)

const (
	maxAhead = 300 * time.Second
	maxAge   = 1825 * 24 * time.Hour
)

// Event is the body of a single and an item of a batch, with Weir's rules but for the depth of the metadata.
type Event struct {
	EventID       string          `json:"event_id" binding:"omitempty,max=128,visible"`
	EventName     string          `json:"event_name" binding:"required,max=255,notblank"`
	UserID        string          `json:"user_id" binding:"required,max=255,notblank"`
	Channel       string          `json:"channel" binding:"omitempty,oneof=web mobile api email push"`
	Source        *string         `json:"source" binding:"omitempty,max=255"`
	CampaignID    *string         `json:"campaign_id" binding:"omitempty,max=255"`
	Timestamp     *moment         `json:"timestamp" binding:"omitempty"`
	Tags          []string        `json:"tags" binding:"max=32,dive,max=255"`
	Value         json.Number     `json:"value"`
	SchemaVersion int             `json:"schema_version" binding:"omitempty,eq=1"`
	Metadata      json.RawMessage `json:"metadata" binding:"omitempty,object"`
}

// record is what the log gets.
type record struct {
	EventID       string          `json:"event_id"`
	AccountID     string          `json:"account_id"`
	EventName     string          `json:"event_name"`
	UserID        string          `json:"user_id"`
	Channel       string          `json:"channel"`
	Source        *string         `json:"source"`
	CampaignID    *string         `json:"campaign_id"`
	Timestamp     time.Time       `json:"timestamp"`
	Tags          []string        `json:"tags"`
	Value         json.Number     `json:"value,omitempty"`
	SchemaVersion int             `json:"schema_version"`
	Metadata      json.RawMessage `json:"metadata,omitempty"`
	ReceivedAt    time.Time       `json:"received_at"`
}

// record fills in what the sender left out.
func (e *Event) record(account string, now time.Time) record {
	if e.EventID == "" {
		e.EventID = uuid.Must(uuid.NewV7()).String()
	}
	if e.Channel == "" {
		e.Channel = "api"
	}
	at := now
	if e.Timestamp != nil {
		at = time.Time(*e.Timestamp)
	}
	return record{
		EventID: e.EventID, AccountID: account, EventName: e.EventName, UserID: e.UserID, Channel: e.Channel,
		Source: e.Source, CampaignID: e.CampaignID, Timestamp: at.UTC(), Tags: e.Tags, Value: e.Value,
		SchemaVersion: 1, Metadata: e.Metadata, ReceivedAt: now.UTC(),
	}
}

// moment is whole Unix seconds or an RFC 3339 time within bounds.
type moment time.Time

func (m *moment) UnmarshalJSON(text []byte) error {
	var at time.Time
	if text[0] == '"' {
		if err := json.Unmarshal(text, &at); err != nil {
			return errors.New("timestamp must be RFC 3339")
		}
	} else {
		seconds, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil {
			return errors.New("timestamp must be whole seconds")
		}
		at = time.Unix(seconds, 0)
	}
	if age := time.Since(at); age < -maxAhead || age > maxAge {
		return errors.New("timestamp lies too far ahead or back")
	}
	*m = moment(at)
	return nil
}

// registerRules adds what the validator does not know.
func registerRules() error {
	rules, ok := binding.Validator.Engine().(*validator.Validate)
	if !ok {
		return errors.New("Gin has another validator")
	}
	return errors.Join(
		rules.RegisterValidation("visible", func(f validator.FieldLevel) bool {
			return strings.IndexFunc(f.Field().String(), func(r rune) bool { return r <= ' ' || r > '~' }) < 0
		}),
		rules.RegisterValidation("notblank", func(f validator.FieldLevel) bool {
			return strings.TrimSpace(f.Field().String()) != ""
		}),
		rules.RegisterValidation("object", func(f validator.FieldLevel) bool {
			text := f.Field().Bytes()
			return text[0] == '{' && len(text) <= 32_768
		}),
	)
}
