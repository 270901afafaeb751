"""Why a subscription hears nothing: facts in, a verdict in words out."""
