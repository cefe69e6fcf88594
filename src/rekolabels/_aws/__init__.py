"""The gateway to AWS: the only package that calls boto3."""
