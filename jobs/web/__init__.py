"""The web: predictions looked up over HTTP, from bundles and with no lake."""
