package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/golang-jwt/jwt/v5"
)

const accountKey = "account"

// keys verifies tokens by Weir's key set, or by the secret when there is none.
type keys struct {
	parser *jwt.Parser
	key    any
}

// claims are those of Weir's tokens.
type claims struct {
	jwt.RegisteredClaims
	AccountID string `json:"account_id"`
	Scope     string `json:"scope"`
}

func loadKeys() (*keys, error) {
	key, method, err := readKey()
	if err != nil {
		return nil, err
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{method}),
		jwt.WithIssuer(os.Getenv("PEER_ISSUER")),
		jwt.WithAudience(os.Getenv("PEER_AUDIENCE")),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(30*time.Second),
	)
	return &keys{parser: parser, key: key}, nil
}

func readKey() (key any, method string, err error) {
	file := os.Getenv("PEER_JWKS")
	if file == "" {
		secret := os.Getenv("PEER_SECRET")
		if secret == "" {
			return nil, "", errors.New("PEER_JWKS or PEER_SECRET must be set")
		}
		return []byte(secret), "HS256", nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, "", err
	}
	var set struct {
		Keys []struct{ Crv, X string }
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, "", err
	}
	if len(set.Keys) == 0 || set.Keys[0].Crv != "Ed25519" {
		return nil, "", fmt.Errorf("%s holds no Ed25519 key", file)
	}
	public, err := base64.RawURLEncoding.DecodeString(set.Keys[0].X)
	return ed25519.PublicKey(public), "EdDSA", err
}

func (k *keys) authenticate(c *gin.Context) {
	token, found := strings.CutPrefix(c.GetHeader("Authorization"), "Bearer ")
	var told claims
	_, err := k.parser.ParseWithClaims(token, &told, func(*jwt.Token) (any, error) { return k.key, nil })
	switch {
	case !found || err != nil || told.AccountID == "":
		c.Header("WWW-Authenticate", "Bearer")
		c.AbortWithStatusJSON(http.StatusUnauthorized, gin.H{"status": http.StatusUnauthorized, "detail": "the token is not valid"})
	case !slices.Contains(strings.Fields(told.Scope), "events:write"):
		c.AbortWithStatusJSON(http.StatusForbidden, gin.H{"status": http.StatusForbidden, "detail": "the scope is missing"})
	default:
		c.Set(accountKey, told.AccountID)
	}
}
