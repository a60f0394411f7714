"""Where deliveries go: modalities, peers, DICOMweb servers, webhooks and folders."""
