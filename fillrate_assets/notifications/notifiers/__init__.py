"""Notifiers: how one message is sent to one channel, a module for each kind. When and how often is for the outbox."""
