"""Indexes over embeddings: each can be dropped and made again from `face_embeddings`."""
