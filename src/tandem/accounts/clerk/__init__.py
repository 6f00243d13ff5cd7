"""Clerk's session tokens as credentials. docs/clerk.md says what is checked, and what happens when Clerk is away."""
