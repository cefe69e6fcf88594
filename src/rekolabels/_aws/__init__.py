"""Gateway to AWS: the only package of the SDK that calls boto3."""
