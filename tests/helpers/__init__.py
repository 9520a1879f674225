"""What tests share: small worlds, stand-ins, requests, results."""
