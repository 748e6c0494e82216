"""Networks and other surrogates: what they learn, beside dull baselines and other people's programs."""
