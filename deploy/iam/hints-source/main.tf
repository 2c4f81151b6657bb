# Sends SageMaker's image events of one account and region to the bus of image-history: see docs/hints.md.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "bus_arn" {
  description = "The output bus_arn of hints-queue."
  type        = string
}

data "aws_caller_identity" "current" {}

resource "aws_cloudwatch_event_rule" "state_changes" {
  name_prefix = "image-history-"
  description = "Image versions that are created or deleted"

  event_pattern = jsonencode({
    source = ["aws.sagemaker"]
    detail-type = [
      "SageMaker Image State Change",
      "SageMaker Image Version State Change",
    ]
  })
}

resource "aws_cloudwatch_event_rule" "updates" {
  name_prefix = "image-history-updates-"
  description = "UpdateImageVersion, which changes no state; needs a trail in CloudTrail"

  event_pattern = jsonencode({
    source      = ["aws.sagemaker"]
    detail-type = ["AWS API Call via CloudTrail"]
    detail = {
      eventSource = ["sagemaker.amazonaws.com"]
      eventName   = ["UpdateImageVersion", "UpdateImage"]
    }
  })
}

resource "aws_cloudwatch_event_target" "bus" {
  for_each = {
    state_changes = aws_cloudwatch_event_rule.state_changes.name
    updates       = aws_cloudwatch_event_rule.updates.name
  }

  rule     = each.value
  arn      = var.bus_arn
  role_arn = aws_iam_role.sender.arn
}

data "aws_iam_policy_document" "trust" {
  statement {
    effect  = "Allow"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

data "aws_iam_policy_document" "send" {
  statement {
    sid       = "SendEvents"
    effect    = "Allow"
    actions   = ["events:PutEvents"]
    resources = [var.bus_arn]
  }
}

resource "aws_iam_role" "sender" {
  name_prefix        = "image-history-hints-"
  description        = "Sends SageMaker's image events to the bus of image-history"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy" "send" {
  name   = "image-history-hints"
  role   = aws_iam_role.sender.id
  policy = data.aws_iam_policy_document.send.json
}
