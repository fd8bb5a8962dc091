"""Web pages on which the floor answers alerts, behind signed links: app, server, CSRF, security headers, feedback."""
