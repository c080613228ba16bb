"""Train, measure and export the phishing-URL model; `python -m phishing --help`."""
