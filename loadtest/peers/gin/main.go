// The same door as Weir's by the usual means of Go: Gin, golang-jwt, encoding/json and franz-go. It runs as one would run it:
// release mode, no line a request, GOMAXPROCS as it is, acks=all, idempotent, and the linger and compression of Weir.
package main

import (
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	linger       = 5 * time.Millisecond
	ackWithin    = 2 * time.Second
	maxBodyBytes = 2 << 20
)

func main() {
	if err := serve(); err != nil {
		log.Fatal(err)
	}
}

func serve() error {
	keys, err := loadKeys()
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(os.Getenv("PEER_KAFKA"), ",")...),
		kgo.DefaultProduceTopic(os.Getenv("PEER_TOPIC")),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(linger),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()),
		kgo.MaxBufferedRecords(500_000),
		kgo.RecordDeliveryTimeout(ackWithin),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := registerRules(); err != nil {
		return err
	}
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.Use(gin.Recovery(), limitBody)
	events := router.Group("/v1/events", keys.authenticate)
	door := &door{client: client}
	events.POST("", door.single)
	events.POST("/batch", door.batch)
	server := &http.Server{
		Addr:              os.Getenv("PEER_LISTEN"),
		Handler:           router,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		IdleTimeout:       60 * time.Second,
	}
	return server.ListenAndServe()
}

func limitBody(c *gin.Context) {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxBodyBytes)
	c.Next()
}
