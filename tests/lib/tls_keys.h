/* SPDX-License-Identifier: MIT */
/* tls_keys: a certificate authority for tests, and what it has signed, valid
 * from 2020 to 2120.  Its own key is not kept: nothing more can be signed. */
#ifndef TESTS_TLS_KEYS_H
#define TESTS_TLS_KEYS_H

static const char tls_ca[] =
	"-----BEGIN CERTIFICATE-----\n"
	"MIIBajCCAQ+gAwIBAgIBATAKBggqhkjOPQQDAjAbMRkwFwYDVQQDDBBzdGFja3Nm\n"
	"cyB0ZXN0IENBMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAbMRkw\n"
	"FwYDVQQDDBBzdGFja3NmcyB0ZXN0IENBMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcD\n"
	"QgAE1idk4kRD8kHWqV/JefdN2n4t28GLBMUgnqdZNl4cLwZ1GWupGA6xgy4dBRPw\n"
	"M/sSUZol6BoGxkBxO+TMPczAgqNCMEAwDwYDVR0TAQH/BAUwAwEB/zAOBgNVHQ8B\n"
	"Af8EBAMCAgQwHQYDVR0OBBYEFHwLC474MHnmJqwFNgCOzbl5dKGVMAoGCCqGSM49\n"
	"BAMCA0kAMEYCIQDQLHBdLhp819Bze/ZDqTXU3uznhTemzqT3o3f2jsR5rgIhAINr\n"
	"jj8gcznMHSDpZh7o9q2C9O1qOEiX+jZGMf0jiSy0\n"
	"-----END CERTIFICATE-----\n";

/* For 127.0.0.1 and localhost. */
static const char tls_local_cert[] =
	"-----BEGIN CERTIFICATE-----\n"
	"MIIBfzCCASSgAwIBAgIBAjAKBggqhkjOPQQDAjAbMRkwFwYDVQQDDBBzdGFja3Nm\n"
	"cyB0ZXN0IENBMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAUMRIw\n"
	"EAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASFC8Ek\n"
	"5Y+MH77u3kApOtkCSIq2TersZA7ISiC4x2v53VHbR0xe2/XH2MqdwFTomWZaJVoR\n"
	"IE+7YEc4pPZ3KRFbo14wXDAaBgNVHREEEzARhwR/AAABgglsb2NhbGhvc3QwHQYD\n"
	"VR0OBBYEFKJaPxuYC1OM1kjKEsy9aNdAbItIMB8GA1UdIwQYMBaAFHwLC474MHnm\n"
	"JqwFNgCOzbl5dKGVMAoGCCqGSM49BAMCA0kAMEYCIQCfzmKuFKvoiAlntuC+t+O1\n"
	"6ZG4HUnKSLewWEjZKKoVLQIhAMEYyWseqGR+S5MZ+CtZ6uiuVak4hUnu8P68xrbX\n"
	"BL8N\n"
	"-----END CERTIFICATE-----\n";
static const char tls_local_key[] =
	"-----BEGIN EC PRIVATE KEY-----\n"
	"MHcCAQEEILcvLEVUjNVAzJtug4rVOCyyUpenmRz2n2ctTq89vBqsoAoGCCqGSM49\n"
	"AwEHoUQDQgAEhQvBJOWPjB++7t5AKTrZAkiKtk3q7GQOyEoguMdr+d1R20dMXtv1\n"
	"x9jKncBU6JlmWiVaESBPu2BHOKT2dykRWw==\n"
	"-----END EC PRIVATE KEY-----\n";

/* For other.example. */
static const char tls_other_cert[] =
	"-----BEGIN CERTIFICATE-----\n"
	"MIIBgTCCASagAwIBAgIBAzAKBggqhkjOPQQDAjAbMRkwFwYDVQQDDBBzdGFja3Nm\n"
	"cyB0ZXN0IENBMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAYMRYw\n"
	"FAYDVQQDDA1vdGhlci5leGFtcGxlMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n"
	"yBaB8tDuUGoc9a24XGsH1X5Sg44hXAz4lB8hWCM/TBYMYRABK4CVZ7FaGKVaEkXn\n"
	"7SnDjhLFP+w0xAvDS81bJ6NcMFowGAYDVR0RBBEwD4INb3RoZXIuZXhhbXBsZTAd\n"
	"BgNVHQ4EFgQUEHWsx0NTeLF2Dz5Ee14e2Csx0vYwHwYDVR0jBBgwFoAUfAsLjvgw\n"
	"eeYmrAU2AI7NuXl0oZUwCgYIKoZIzj0EAwIDSQAwRgIhAI5pd1wB2FhcBrmvOxpJ\n"
	"vmGJ/TuBdhb5/OwAfG4B+/ftAiEA4zbUngp/3OlHd9cLs6t77GBaE2zm1t5oQcOo\n"
	"xYCR+Ns=\n"
	"-----END CERTIFICATE-----\n";
static const char tls_other_key[] =
	"-----BEGIN EC PRIVATE KEY-----\n"
	"MHcCAQEEIIvYJGp69LiVdVU6LlgmSasjSoO6YbinjnfA2UUV9dUwoAoGCCqGSM49\n"
	"AwEHoUQDQgAEyBaB8tDuUGoc9a24XGsH1X5Sg44hXAz4lB8hWCM/TBYMYRABK4CV\n"
	"Z7FaGKVaEkXn7SnDjhLFP+w0xAvDS81bJw==\n"
	"-----END EC PRIVATE KEY-----\n";

#endif
