package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/gin-gonic/gin/binding"
	"github.com/twmb/franz-go/pkg/kgo"
)

const maxBatch = 1000

// door takes events and answers once the log has them.
type door struct {
	client *kgo.Client
}

// result is the line of one event.
type result struct {
	Status    string `json:"status"`
	EventID   string `json:"event_id,omitempty"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Receipt   string `json:"receipt,omitempty"`
	Detail    string `json:"detail,omitempty"`
}

func (d *door) single(c *gin.Context) {
	var event Event
	if err := c.ShouldBindJSON(&event); err != nil {
		c.JSON(http.StatusBadRequest, gin.H{"status": http.StatusBadRequest, "detail": err.Error()})
		return
	}
	results := make([]result, 1)
	d.publish(c, []Event{event}, results)
	if results[0].Status != "accepted" {
		c.JSON(http.StatusServiceUnavailable, gin.H{"status": http.StatusServiceUnavailable, "detail": "the log did not take it"})
		return
	}
	c.JSON(http.StatusAccepted, results[0])
}

func (d *door) batch(c *gin.Context) {
	var body struct {
		Events []Event `json:"events"`
	}
	// Events are judged one by one below: Gin's own check would refuse the batch for one of them.
	if err := json.NewDecoder(c.Request.Body).Decode(&body); err != nil || len(body.Events) == 0 || len(body.Events) > maxBatch {
		c.JSON(http.StatusBadRequest, gin.H{"status": http.StatusBadRequest, "detail": "1 to 1,000 events are needed"})
		return
	}
	results := make([]result, len(body.Events))
	for i := range body.Events {
		if err := binding.Validator.ValidateStruct(&body.Events[i]); err != nil {
			results[i] = result{Status: "rejected", EventID: body.Events[i].EventID, Detail: err.Error()}
		}
	}
	d.publish(c, body.Events, results)
	status := http.StatusAccepted
	for i := range results {
		if results[i].Status != "accepted" {
			status = http.StatusMultiStatus
		}
	}
	answer(c, status, gin.H{"results": results})
}

// answer tells the length, which net/http leaves out of longer answers of its own: the generator understands no chunks.
func answer(c *gin.Context, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		c.AbortWithStatus(http.StatusInternalServerError)
		return
	}
	c.Header("Content-Length", strconv.Itoa(len(text)))
	c.Data(status, "application/json; charset=utf-8", text)
}

// publish sends every event that has no result yet and waits for all acknowledgements. Not ProduceSync, which ignores linger.
func (d *door) publish(c *gin.Context, events []Event, results []result) {
	account, now := c.GetString(accountKey), time.Now()
	var waiting sync.WaitGroup
	for i := range events {
		if results[i].Status != "" {
			continue
		}
		value, err := json.Marshal(events[i].record(account, now))
		if err != nil {
			results[i] = result{Status: "rejected", EventID: events[i].EventID, Detail: err.Error()}
			continue
		}
		waiting.Add(1)
		record := &kgo.Record{Key: []byte(account), Value: value}
		d.client.Produce(c.Request.Context(), record, func(r *kgo.Record, err error) {
			defer waiting.Done()
			if err != nil {
				results[i] = result{Status: "retry", EventID: events[i].EventID}
				return
			}
			results[i] = result{
				Status: "accepted", EventID: events[i].EventID, Partition: r.Partition, Offset: r.Offset,
				Receipt: fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset),
			}
		})
	}
	waiting.Wait()
}
