"""What a caller imports: subjects, requests, replies, events, problems and a client. It knows no worker."""
